// Settings and health: the kill switch, how the policy is edited, webhooks, certificates, relays.
import { useState } from 'preact/hooks';
import { call, can, TAILNET } from '../api';
import { useAction, useData } from '../data';
import { num, t, tw } from '../i18n';
import { place, to } from '../router';
import { Badge, Card, Confirm, Empty, Facts, Field, Load, ProblemBox, say, Screen, Switch, Tabs, Time, type Tone } from '../ui';
import type { Settings } from './access';
import { Webhooks } from './webhooks';

interface Lock {
  locked: boolean;
  by?: string;
  reason?: string;
  since?: string;
}

interface Certificate {
  id: string;
  nodeId?: string;
  name: string;
  state: string;
  issuer?: string;
  error?: string;
  notAfter?: string;
  renewal?: string;
  retryAt?: string;
}

interface Relay {
  id: string;
  name: string;
  host?: string;
  addresses?: string[];
  version?: string;
  connected?: boolean;
  sessions?: number;
  visitors?: number;
  clockSkewSeconds?: number;
}

function KillSwitch() {
  const lock = useData<Lock>(`${TAILNET}/funnel-lock`, ['settings', 'funnels']);
  const [ask, setAsk] = useState(false);
  const [reason, setReason] = useState('');
  const act = useAction();
  const set = async (on: boolean) => {
    if (await act.run(async () => void (await (on ? call('POST', `${TAILNET}/funnel-lock`, { reason }) : call('DELETE', `${TAILNET}/funnel-lock`))))) {
      setAsk(false);
      say(t(on ? 'lock.on' : 'lock.off'));
      await lock.reload();
    }
  };
  return (
    <Card title={t('lock')}>
      {act.problem && !ask && <ProblemBox problem={act.problem} />}
      <Load of={lock}>{(l) => l.locked ? (
        <>
          <p><Badge tone="bad">{t('lock.on')}</Badge></p>
          <p class="dim">{l.by} · <Time at={l.since} />{l.reason && <> · “{l.reason}”</>}</p>
          {can('funnel.reopen') && <div class="row"><button type="button" disabled={act.busy} onClick={() => void set(false)}>{t('lock.open')}</button></div>}
        </>
      ) : <><p class="dim">{t('lock.text')}</p>{can('funnel.off') && <div class="row"><button type="button" class="danger" onClick={() => setAsk(true)}>{t('lock.do')}</button></div>}</>}</Load>
      <Confirm title={t('lock.do')} text={t('lock.ask')} action={t('lock.do')} open={ask} onClose={() => setAsk(false)} onYes={() => void set(true)} busy={act.busy} problem={act.problem}>
        <Field label={t('reason')} value={reason} maxLength={200} onInput={(e) => setReason(e.currentTarget.value)} />
      </Confirm>
    </Card>
  );
}

function PolicySettings() {
  const settings = useData<Settings>(`${TAILNET}/settings`, ['settings']);
  const [link, setLink] = useState<string>();
  const act = useAction();
  const patch = (body: Settings) => void act.run(async () => {
    await call('PATCH', `${TAILNET}/settings`, body);
    say(t('saved'));
    await settings.reload();
  });
  const locked = act.busy || !can('policy.write');
  const saveLink = (e: Event) => {
    e.preventDefault();
    patch({ aclsExternalLink: link });
  };
  return (
    <Card title={t('settings.policy')}>
      {act.problem && <ProblemBox problem={act.problem} />}
      <Load of={settings}>{(s) => (
        <>
          <Switch label={t('settings.external')} hint={t('settings.external.hint')} on={!!s.aclsExternallyManagedOn} busy={locked} onSet={(on) => patch({ aclsExternallyManagedOn: on })} />
          <form onSubmit={saveLink} class="inline-form"><Field label={t('settings.link')} type="url" value={link ?? s.aclsExternalLink ?? ''} onInput={(e) => setLink(e.currentTarget.value)} /><button disabled={locked || link === undefined}>{t('save')}</button></form>
          <Switch label={t('settings.match')} hint={t('settings.match.hint')} on={!!s.policyRequireIfMatch} busy={locked} onSet={(on) => patch({ policyRequireIfMatch: on })} />
          <Switch label={t('settings.format')} hint={t('settings.format.hint')} on={!!s.policyFormatOnSave} busy={locked} onSet={(on) => patch({ policyFormatOnSave: on })} />
        </>
      )}</Load>
    </Card>
  );
}

const CONTACTS = ['account', 'support', 'security'];

function Contacts() {
  const contacts = useData<Record<string, { email?: string }>>(`${TAILNET}/contacts`, ['settings']);
  const [draft, setDraft] = useState<Record<string, string>>({});
  const act = useAction();
  const save = (kind: string) => (e: Event) => {
    e.preventDefault();
    void act.run(async () => {
      await call('PATCH', `${TAILNET}/contacts/${kind}`, { email: draft[kind] });
      say(t('saved'));
      await contacts.reload();
    });
  };
  return (
    <Card title={t('contacts')}>
      <p class="dim">{t('contacts.text')}</p>
      {act.problem && <ProblemBox problem={act.problem} />}
      <Load of={contacts}>{(c) => CONTACTS.map((k) => (
        <form onSubmit={save(k)} class="inline-form" key={k}><Field label={tw('contacts', k)} type="email" value={draft[k] ?? c[k]?.email ?? ''} onInput={(e) => setDraft({ ...draft, [k]: e.currentTarget.value })} />
          <button disabled={act.busy || draft[k] === undefined || !can('feature.write')} aria-label={`${t('save')}: ${tw('contacts', k)}`}>{t('save')}</button></form>
      ))}</Load>
    </Card>
  );
}

function General() {
  return (
    <div class="columns">
      <div><KillSwitch /><Card title={t('settings.you')}><p class="dim">{t('settings.you.text')}</p><p><a href="/account">{t('settings.you.go')}</a></p></Card><Contacts /></div>
      <div><Card title={t('access.https')}><p class="dim">{t('access.https.hint')}</p><p><a href={to('access')}>{t('settings.https.go')}</a></p></Card><PolicySettings /></div>
    </div>
  );
}

const certTones: Record<string, Tone> = { issued: 'good', valid: 'good', ok: 'good', failed: 'bad', error: 'bad', ordered: 'warn', pending: 'warn', waiting: 'warn' };

function Certificates() {
  const list = useData<{ certificates: Certificate[] }>(`${TAILNET}/certificates`, ['certificates', 'funnels']);
  const act = useAction();
  const renew = (c: Certificate) => void act.run(async () => {
    await call('POST', `/certificates/${c.id}/renew`, {});
    say(t('certs.renewing', { name: c.name }));
    await list.reload();
  });
  return (
    <Card title={t('settings.tab.certificates')}>
      <p class="dim">{t('certs.text')}</p>
      {act.problem && <ProblemBox problem={act.problem} />}
      <Load of={list}>{(d) => d.certificates.length ? (
        <ul class="lines">{d.certificates.map((c) => (
          <li key={c.id}><div class="grow"><span class="strong break">{c.name}</span><p class="dim break">{c.issuer}{c.notAfter && <> · {t('expires')} <Time at={c.notAfter} /></>}{c.renewal && <> · {t('certs.renewal')} <Time at={c.renewal} /></>}</p>
            {c.error && <p class="bad-text break">{c.error}{c.retryAt && <> · {t('certs.retry')} <Time at={c.retryAt} /></>}</p>}</div>
            <Badge tone={certTones[c.state] ?? 'plain'}>{tw('certs.state', c.state)}</Badge>
            {can('machines.write') && <button type="button" class="small" disabled={act.busy} onClick={() => renew(c)}>{t('certs.renew')}</button>}</li>
        ))}</ul>
      ) : <Empty title={t('certs.none')} text={t('certs.none.text')} command="funnel 3000" />}</Load>
    </Card>
  );
}

function Health() {
  const relays = useData<{ ingresses: Relay[] }>(`${TAILNET}/ingresses`, ['relays']);
  return (
    <Card title={t('health.relays')}>
      <p class="dim">{t('health.relays.text')}</p>
      <Load of={relays}>{(d) => d.ingresses.length ? (
        <ul class="lines">{d.ingresses.map((r) => (
          <li key={r.id}><div class="grow"><p><span class="strong break">{r.name}</span> <Badge tone={r.connected ? 'good' : 'bad'}>{r.connected ? t('machine.online') : t('machine.offline')}</Badge></p>
            <Facts rows={[[t('machine.host'), r.host], [t('machine.addresses'), r.addresses?.join(', ')], [t('health.version'), r.version], [t('health.sessions'), r.sessions === undefined ? '' : num(r.sessions)],
              [t('health.visitors'), r.visitors === undefined ? '' : num(r.visitors)], [t('health.clock'), r.clockSkewSeconds === undefined ? '' : `${num(r.clockSkewSeconds)} s`]]} /></div></li>
        ))}</ul>
      ) : <Empty title={t('health.relays.none')} text={t('health.relays.none.text')} command="funnel-relay enroll --key file:PATH" />}</Load>
    </Card>
  );
}

export default function SettingsScreen() {
  const tab = place.value.id || 'general';
  return (
    <Screen title={t('nav.settings')} lead={t('settings.lead')}>
      <Tabs label={t('nav.settings')} items={['general', 'webhooks', 'certificates', 'health'].map((id) => ({ href: to('settings', id === 'general' ? '' : id), text: tw('settings.tab', id), on: tab === id }))} />
      {tab === 'webhooks' ? <Webhooks /> : tab === 'certificates' ? <Certificates /> : tab === 'health' ? <Health /> : <General />}
    </Screen>
  );
}
