// Signed messages to other programs: where they go, what of, and whether they arrived.
import { useState } from 'preact/hooks';
import { call, can, TAILNET } from '../api';
import { useAction, useData } from '../data';
import { t, tw } from '../i18n';
import { Badge, Card, Check, Confirm, Dialog, Empty, Field, Load, Once, ProblemBox, say, Time, type Tone } from '../ui';

interface Hook {
  endpointId: string;
  endpointUrl: string;
  subscriptions: string[];
  creatorLoginName?: string;
  created?: string;
  secret?: string;
}

interface Delivery {
  id: string;
  event: string;
  state: string;
  tries: number;
  status?: number;
  error?: string;
  created: string;
  nextTry?: string;
}

const EVENTS = ['funnelRequested', 'funnelApproved', 'funnelDenied', 'funnelRevoked', 'funnelReported', 'policyUpdate', 'nodeCreated', 'nodeNeedsApproval', 'nodeApproved', 'nodeKeyExpiringInOneDay',
  'nodeKeyExpired', 'nodeDeleted', 'userCreated', 'userNeedsApproval', 'userApproved', 'userSuspended', 'userRestored', 'userDeleted', 'userRoleUpdated', 'keyExpiring', 'loginFailures'];
const tones: Record<string, Tone> = { done: 'good', delivered: 'good', failed: 'bad', dead: 'bad', pending: 'warn', waiting: 'warn' };

function Edit({ hook, open, onClose, done }: { hook?: Hook; open: boolean; onClose: () => void; done: () => void }) {
  const [url, setUrl] = useState('');
  const [draft, setDraft] = useState<string[]>();
  const [made, setMade] = useState<Hook>();
  const act = useAction();
  const events = draft ?? hook?.subscriptions ?? EVENTS.slice(0, 5);
  const close = () => {
    setMade(undefined);
    setDraft(undefined);
    setUrl('');
    act.clear();
    onClose();
  };
  const save = (e: Event) => {
    e.preventDefault();
    void act.run(async () => {
      if (hook) {
        await call('PATCH', `/webhooks/${hook.endpointId}`, { subscriptions: events });
        close();
      } else setMade((await call<Hook>('POST', `${TAILNET}/webhooks`, { endpointUrl: url, subscriptions: events })).data);
      say(t('saved'));
      done();
    });
  };
  return (
    <Dialog title={t(hook ? 'hooks.edit' : 'hooks.add')} open={open} onClose={close} wide>
      {made?.secret ? <Once secret={made.secret} label={t('hooks.secret')} /> : (
        <form onSubmit={save}>
          {hook ? <p class="break"><code>{hook.endpointUrl}</code></p> : <Field label={t('hooks.url')} type="url" required value={url} placeholder="https://" onInput={(e) => setUrl(e.currentTarget.value)} />}
          <fieldset><legend class="strong">{t('hooks.events')}</legend><div class="pair">
            {EVENTS.map((x) => <Check label={x} key={x} checked={events.includes(x)} onChange={() => setDraft(events.includes(x) ? events.filter((y) => y !== x) : [...events, x])} />)}
          </div></fieldset>
          {act.problem && <ProblemBox problem={act.problem} />}
          <div class="row"><button class="primary" disabled={act.busy}>{t('save')}</button><button type="button" onClick={close}>{t('cancel')}</button></div>
        </form>
      )}
    </Dialog>
  );
}

function Deliveries({ id }: { id: string }) {
  const list = useData<{ deliveries: Delivery[] }>(`/webhooks/${id}/deliveries`, ['webhooks', 'logs']);
  return <Load of={list}>{(d) => d.deliveries.length ? (
    <ul class="plain">{d.deliveries.slice(0, 20).map((x) => <li key={x.id}><Badge tone={tones[x.state] ?? 'plain'}>{x.status ? `${x.state} ${x.status}` : x.state}</Badge> <code>{x.event}</code> <span class="dim"><Time at={x.created} /></span>{x.error && <span class="bad-text break"> {x.error}</span>}
      {x.nextTry && <span class="dim"> · {t('hooks.again')} <Time at={x.nextTry} /></span>}</li>)}</ul>
  ) : <p class="dim">{t('hooks.deliveries.none')}</p>}</Load>;
}

function Row({ h, done }: { h: Hook; done: () => void }) {
  const [open, setOpen] = useState(false);
  const [edit, setEdit] = useState(false);
  const [ask, setAsk] = useState<'' | 'delete' | 'rotate'>('');
  const [secret, setSecret] = useState('');
  const act = useAction();
  const test = () => void act.run(async () => {
    await call('POST', `/webhooks/${h.endpointId}/test`, {});
    say(t('hooks.tested'));
    setOpen(true);
  });
  const yes = async () => {
    const ok = await act.run(async () => {
      if (ask === 'delete') await call('DELETE', `/webhooks/${h.endpointId}`);
      else setSecret((await call<Hook>('POST', `/webhooks/${h.endpointId}/rotate`, {})).data.secret ?? '');
    });
    if (ok) {
      setAsk('');
      done();
    }
  };
  return (
    <li>
      <div class="grow"><span class="strong break">{h.endpointUrl}</span><p class="dim break">{h.subscriptions.join(', ')}</p><p class="dim break">{h.creatorLoginName} · <Time at={h.created} /></p></div>
      <span class="actions">
        <button type="button" class="small" disabled={act.busy} onClick={test}>{t('hooks.test')}</button>
        <button type="button" class="small" onClick={() => setEdit(true)}>{t('hooks.edit')}</button>
        <button type="button" class="small" onClick={() => setAsk('rotate')}>{t('hooks.rotate')}</button>
        <button type="button" class="small" aria-expanded={open} onClick={() => setOpen(!open)}>{t('hooks.deliveries')}</button>
        <button type="button" class="small danger" onClick={() => setAsk('delete')}>{t('delete')}</button>
      </span>
      {act.problem && !ask && <div class="whole"><ProblemBox problem={act.problem} /></div>}
      {secret && <div class="whole"><Once secret={secret} label={t('hooks.secret')} /></div>}
      {open && <div class="whole"><Deliveries id={h.endpointId} /></div>}
      <Edit hook={h} open={edit} onClose={() => setEdit(false)} done={done} />
      <Confirm title={t(ask === 'rotate' ? 'hooks.rotate' : 'hooks.delete')} text={t(ask === 'rotate' ? 'hooks.rotate.text' : 'hooks.delete.text')} action={t(ask === 'rotate' ? 'hooks.rotate' : 'hooks.delete')} open={ask !== ''}
        onClose={() => setAsk('')} onYes={() => void yes()} busy={act.busy} problem={act.problem} />
    </li>
  );
}

export function Webhooks() {
  const hooks = useData<{ webhooks: Hook[] }>(`${TAILNET}/webhooks`, ['webhooks']);
  const [adding, setAdding] = useState(false);
  return (
    <Card title={tw('settings.tab', 'webhooks')} aside={can('webhooks.write') && <button type="button" class="primary" onClick={() => setAdding(true)}>{t('hooks.add')}</button>}>
      <Load of={hooks}>{(d) => d.webhooks.length ? <ul class="lines">{d.webhooks.map((h) => <Row h={h} key={h.endpointId} done={() => void hooks.reload()} />)}</ul> : <Empty title={t('hooks.none')} text={t('hooks.none.text')} />}</Load>
      <Edit open={adding} onClose={() => setAdding(false)} done={() => void hooks.reload()} />
    </Card>
  );
}
