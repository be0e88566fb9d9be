// signin.mjs ORIGIN SPKI OUT_DIR CODE: an owner's first hours. Reads one JSON line a step from its own flow and prints what
// each page showed: setup by passkey, recovery codes, account page, sign-out, sign-in by passkey, a password, one-time
// codes, a recovery code, sessions. The authenticator is Chromium's virtual one (resident key, user verification).
import { createHmac } from 'node:crypto';
import { chromium } from 'playwright-core';

const [origin, spki, out, code] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', `--ignore-certificate-errors-spki-list=${spki}`],
});
const shown = { problems: [] };

// RFC 6238 once more, in another language.
function totp(secret, at) {
  let bits = '';
  for (const c of secret) bits += 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0');
  const key = Buffer.from(bits.match(/.{8}/g).map((b) => parseInt(b, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(at / 30000)));
  const mac = createHmac('sha1', key).update(counter).digest();
  const offset = mac[19] & 15;
  return String((mac.readUInt32BE(offset) & 0x7fffffff) % 1000000).padStart(6, '0');
}

async function picture(page, name) {
  await page.setViewportSize({ width: 1100, height: 900 });
  await page.screenshot({ path: `${out}/${name}-wide.png`, fullPage: true });
  await page.setViewportSize({ width: 390, height: 844 });
  const sideways = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
  if (sideways) shown.problems.push(`${name} scrolls sideways on a phone`);
  await page.screenshot({ path: `${out}/${name}-phone.png`, fullPage: true });
  await page.setViewportSize({ width: 1100, height: 900 });
}

const visit = (page, path) => page.goto(origin + path);
const heading = (page) => page.locator('h1').first().innerText();

async function signOut(page) {
  await page.getByRole('button', { name: 'Sign out', exact: true }).first().click();
  await page.waitForURL('**/login');
}

async function byPassword(page, password) {
  await page.fill('#login', 'ann@example.com');
  await page.fill('#password', password);
  await page.keyboard.press('Enter');
}

try {
  const context = await browser.newContext({ viewport: { width: 1100, height: 900 } });
  const page = await context.newPage();
  page.on('console', (m) => m.type() === 'error' && shown.problems.push(m.text()));
  page.on('pageerror', (e) => shown.problems.push(String(e)));
  const cdp = await context.newCDPSession(page);
  await cdp.send('WebAuthn.enable');
  await cdp.send('WebAuthn.addVirtualAuthenticator', { options: {
    protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true,
    automaticPresenceSimulation: true } });

  // The link of `init`: the code stands behind "#" and fills both forms.
  await visit(page, `/setup#${code}`);
  shown.filled = await page.inputValue('#pcode');
  shown.address = page.url();
  await picture(page, 'setup');
  await page.getByRole('button', { name: 'Make a passkey and sign in' }).click();
  await page.waitForSelector('.codes');
  shown.codes = await page.locator('.codes code').allInnerTexts();
  await picture(page, 'recovery');
  await page.getByRole('link', { name: 'I have saved them' }).click();
  await page.waitForSelector('h1:has-text("Overview")');
  shown.home = await heading(page);

  await visit(page, '/account');
  shown.passkeys = await page.locator('section').first().locator('tbody tr').count();
  await picture(page, 'account');
  // The only way in is not taken away.
  await page.getByRole('button', { name: 'Remove' }).click();
  shown.lastKept = await page.locator('[role=alert]').innerText();

  await signOut(page);
  await picture(page, 'login');
  await page.getByRole('button', { name: 'Sign in with a passkey' }).click();
  await page.waitForSelector('h1:has-text("Overview")');
  shown.byPasskey = page.url();

  // A password and one-time codes.
  await visit(page, '/account');
  await page.fill('#password', 'correct horse battery');
  await page.getByRole('button', { name: 'Set password' }).click();
  await page.waitForSelector('text=You have one.');
  await page.getByRole('button', { name: 'Set up an authenticator app' }).click();
  const secret = await page.locator('code').innerText();
  shown.qr = await page.locator('svg.qr path').count();
  await picture(page, 'totp');
  await page.fill('#otp', '000000');
  await page.keyboard.press('Enter');
  shown.wrongCode = await page.locator('[role=alert]').innerText();
  await page.fill('#otp', totp(secret, Date.now()));
  await page.keyboard.press('Enter');
  await page.waitForSelector('text=Switch off');
  shown.sessions = await page.locator('section').last().locator('tbody tr').count();
  await signOut(page);

  await byPassword(page, 'correct horse battery');
  await page.waitForURL('**/login/code');
  await picture(page, 'code');
  await page.fill('#otp', totp(secret, Date.now()));  // the code that switched it on is used up
  await page.keyboard.press('Enter');
  shown.usedCode = await page.locator('[role=alert]').innerText();
  await page.fill('#otp', totp(secret, Date.now() + 30000));
  await page.keyboard.press('Enter');
  await page.waitForSelector('h1:has-text("Overview")');
  await signOut(page);

  await byPassword(page, 'correct horse battery');
  await page.waitForURL('**/login/code');
  await page.fill('#otp', shown.codes[0].toUpperCase().replaceAll('-', ' '));
  await page.keyboard.press('Enter');
  await page.waitForSelector('h1:has-text("Overview")');
  await visit(page, '/account');
  shown.codesLeft = await page.locator('text=left. Each signs you in').innerText();
  await signOut(page);
  await byPassword(page, 'correct horse battery');
  await page.fill('#otp', shown.codes[0]);
  await page.keyboard.press('Enter');
  shown.usedRecovery = await page.locator('[role=alert]').innerText();
  console.log(JSON.stringify(shown));
} finally {
  await browser.close();
}
