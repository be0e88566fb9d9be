// Keys: for machines that join, for scripts that call the API, and OAuth clients with scopes.
import { useState } from 'preact/hooks';
import { call, can, TAILNET } from '../api';
import { useAction, useData } from '../data';
import { t, tw } from '../i18n';
import { place, setQuery } from '../router';
import { Badge, Card, Check, Confirm, Dialog, Empty, Field, Load, Once, ProblemBox, say, Select, Time } from '../ui';
import { KeyForm, makeAuthKey, tagsOf } from './machine-add';

interface Key {
  id: string;
  keyType?: string;
  description?: string;
  created?: string;
  expires?: string;
  revoked?: string;
  invalid?: boolean;
  user?: string;
  scopes?: string[];
  tags?: string[];
  lastUsed?: string;
  capabilities?: { devices?: { create?: { reusable?: boolean; ephemeral?: boolean; preauthorized?: boolean; tags?: string[] } } };
}

interface Made {
  id: string;
  key: string;
}

const SCOPES = ['all', 'devices:core', 'auth_keys', 'users', 'policy_file', 'dns', 'feature_settings', 'webhooks', 'logs:configuration', 'funnel', 'oauth_keys'];
const KINDS = ['auth', 'api', 'client'];
const DAY = 86400;

function ApiForm({ busy, onMake }: { busy: boolean; onMake: (body: object) => void }) {
  const [description, setDescription] = useState('');
  const [days, setDays] = useState('30');
  const submit = (e: Event) => {
    e.preventDefault();
    onMake({ keyType: 'api', description, expirySeconds: Number(days) * DAY });
  };
  return (
    <form onSubmit={submit}>
      <p class="dim">{t('keys.api.text')}</p>
      <Field label={t('keys.description')} hint={t('keys.description.hint')} value={description} maxLength={50} onInput={(e) => setDescription(e.currentTarget.value)} />
      <Select label={t('keys.lasts')} value={days} onChange={setDays} options={[['1', t('lasts.day')], ['7', t('lasts.week')], ['30', t('lasts.month')], ['90', t('lasts.quarter')]]} />
      <div class="row"><button class="primary" disabled={busy}>{t('keys.make')}</button></div>
    </form>
  );
}

function ClientForm({ busy, onMake }: { busy: boolean; onMake: (body: object) => void }) {
  const [description, setDescription] = useState('');
  const [tags, setTags] = useState('');
  const [scopes, setScopes] = useState<Record<string, '' | 'read' | 'write'>>({});
  const submit = (e: Event) => {
    e.preventDefault();
    const list = Object.entries(scopes).flatMap(([k, v]) => (v === 'read' ? [`${k}:read`] : v === 'write' ? [k] : []));
    onMake({ keyType: 'client', description, scopes: list, tags: tagsOf(tags) });
  };
  return (
    <form onSubmit={submit}>
      <p class="dim">{t('keys.client.text')}</p>
      <Field label={t('keys.description')} hint={t('keys.description.hint')} value={description} maxLength={50} onInput={(e) => setDescription(e.currentTarget.value)} />
      <fieldset><legend class="strong">{t('keys.scopes')}</legend>
        {SCOPES.map((s) => (
          <div class="scope" key={s}><code>{s}</code>
            <Check label={t('keys.read')} aria-label={`${t('keys.read')} ${s}`} checked={!!scopes[s]} onChange={(e) => setScopes({ ...scopes, [s]: e.currentTarget.checked ? 'read' : '' })} />
            <Check label={t('keys.write')} aria-label={`${t('keys.write')} ${s}`} checked={scopes[s] === 'write'} onChange={(e) => setScopes({ ...scopes, [s]: e.currentTarget.checked ? 'write' : 'read' })} />
          </div>
        ))}
      </fieldset>
      <Field label={t('machine.tags')} hint={t('keys.client.tags')} value={tags} onInput={(e) => setTags(e.currentTarget.value)} />
      <div class="row"><button class="primary" disabled={busy}>{t('keys.make')}</button></div>
    </form>
  );
}

function NewKey({ open, onClose, done }: { open: boolean; onClose: () => void; done: () => void }) {
  const [kind, setKind] = useState('auth');
  const [made, setMade] = useState<Made>();
  const act = useAction();
  const make = (fn: () => Promise<Made>) => void act.run(async () => {
    setMade(await fn());
    done();
  });
  const post = (body: object) => make(async () => (await call<Made>('POST', `${TAILNET}/keys`, body)).data);
  const close = () => {
    setMade(undefined);
    act.clear();
    onClose();
  };
  return (
    <Dialog title={t('keys.create')} open={open} onClose={close} wide>
      {made ? <>{kind === 'client' && <p>{t('keys.client.id')} <code>{made.id}</code></p>}<Once secret={made.key} label={t('keys.new')} /></> : (
        <>
          <Select label={t('keys.kind')} value={kind} onChange={setKind} options={KINDS.filter((k) => k === 'auth' || can('api_keys')).map((k) => [k, tw('keys.kind', k)])} />
          {act.problem && <ProblemBox problem={act.problem} />}
          {kind === 'auth' ? <KeyForm busy={act.busy} onMake={(w) => make(() => makeAuthKey(w))} /> : kind === 'api' ? <ApiForm busy={act.busy} onMake={post} /> : <ClientForm busy={act.busy} onMake={post} />}
        </>
      )}
    </Dialog>
  );
}

function traits(k: Key): string {
  const c = k.capabilities?.devices?.create;
  const words = [c?.reusable && t('keys.reusable'), c?.ephemeral && t('machine.ephemeral'), c?.preauthorized && t('keys.preauthorized'), ...(c?.tags ?? []), ...(k.tags ?? []), ...(k.scopes ?? [])];
  return words.filter(Boolean).join(' · ');
}

export function Keys() {
  const keys = useData<{ keys: Key[] }>(`${TAILNET}/keys?all=true`, ['keys']);
  const [making, setMaking] = useState(false);
  const [ask, setAsk] = useState<Key>();
  const act = useAction();
  const old = place.value.query.get('old') === '1';
  const revoke = async () => {
    if (await act.run(async () => void (await call('DELETE', `${TAILNET}/keys/${ask!.id}`)))) {
      say(t('keys.revoked'));
      setAsk(undefined);
      await keys.reload();
    }
  };
  return (
    <Card title={t('users.tab.keys')} aside={can('auth_keys') && <button type="button" class="primary" onClick={() => setMaking(true)}>{t('keys.create')}</button>}>
      <Check label={t('keys.old')} checked={old} onChange={() => setQuery({ old: old ? '' : '1' })} />
      <Load of={keys}>{(d) => {
        const list = d.keys.filter((k) => old || !k.invalid);
        return list.length ? (
          <ul class="lines">{list.map((k) => (
            <li key={k.id}><div class="grow"><p><span class="strong break">{k.description || tw('keys.kind', k.keyType ?? 'auth')}</span> {k.description && <Badge>{tw('keys.kind', k.keyType ?? 'auth')}</Badge>} {k.invalid && <Badge tone="bad">{k.revoked ? t('keys.state.revoked') : t('keys.state.over')}</Badge>}</p>
              <p class="dim break"><code>{k.id}</code>{k.user && <> · {k.user}</>}{traits(k) && <> · {traits(k)}</>}</p>
              <p class="dim">{t('keys.created')} <Time at={k.created} />{k.expires && <> · {t('expires')} <Time at={k.expires} /></>}{k.lastUsed && <> · {t('keys.used')} <Time at={k.lastUsed} /></>}</p></div>
              {!k.invalid && <button type="button" class="small danger" onClick={() => setAsk(k)}>{t('keys.revoke')}</button>}
            </li>
          ))}</ul>
        ) : <Empty title={t('keys.none')} text={t('keys.none.text')} command="funnelctl keys create auth" />;
      }}</Load>
      <NewKey open={making} onClose={() => setMaking(false)} done={() => void keys.reload()} />
      <Confirm title={t('keys.revoke')} text={t('keys.revoke.text')} action={t('keys.revoke')} open={!!ask} onClose={() => setAsk(undefined)} onYes={() => void revoke()} busy={act.busy} problem={act.problem} />
    </Card>
  );
}
