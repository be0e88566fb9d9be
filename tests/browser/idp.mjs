// idp.mjs ISSUER PORT KEY CERT REDIRECT_URI: a real OpenID provider (npm oidc-provider) whose people are who they type.
// "ann@example.com" has a verified address; "eve@example.com" an unverified one; others have no address at all.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { Provider } from 'oidc-provider';

const [issuer, port, key, cert, redirect] = process.argv.slice(2);
const provider = new Provider(issuer, {
  clients: [{ client_id: 'funnel', client_secret: 'client/secret+1', redirect_uris: [redirect] }],
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'preferred_username', 'groups'] },
  conformIdTokenClaims: false,
  pkce: { required: () => true },
  features: { devInteractions: { enabled: true } },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({
      sub: id, name: `Name of ${id}`, preferred_username: id.split('@')[0], groups: id.startsWith('ann') ? ['ops'] : [],
      ...(id.includes('@') ? { email: id, email_verified: !id.startsWith('eve') } : {}),
    }),
  }),
});
createServer({ key: readFileSync(key), cert: readFileSync(cert) }, provider.callback()).listen(Number(port), () => {
  console.log('ready');
});
