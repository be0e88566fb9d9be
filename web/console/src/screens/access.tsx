// Who may be public, in one place: HTTPS, who has the right, the button that gives it; beside it the policy file itself.
import { useEffect, useState } from 'preact/hooks';
import { call, can, TAILNET, type Problem } from '../api';
import { useAction, useData } from '../data';
import { t } from '../i18n';
import { place, to } from '../router';
import { Badge, Card, Confirm, Dialog, Diff, Empty, Field, Load, ProblemBox, say, Screen, Select, Switch, Tabs } from '../ui';
import { Explain } from './explain';
import { History } from './history';
import { PolicyEditor } from './policy';

export interface Settings {
  httpsEnabled?: boolean;
  aclsExternallyManagedOn?: boolean;
  aclsExternalLink?: string;
  policyRequireIfMatch?: boolean;
  policyFormatOnSave?: boolean;
}

export interface Version {
  rev: number;
  etag: string;
  author: string;
  created: string;
  via: string;
  message?: string;
  current?: boolean;
}

interface Edited {
  changed: boolean;
  acl: string;
  unified: string;
  from: Version;
}

interface Policy {
  nodeAttrs?: { target?: string[]; attr?: string[]; ipPool?: unknown }[];
}

export const quoted = (etag: string): string => `"${etag}"`;

export function External({ settings }: { settings?: Settings }) {
  if (!settings?.aclsExternallyManagedOn) return null;
  const link = settings.aclsExternalLink;
  return <p class="note">{t('access.external')} {link && <a href={link} rel="noreferrer" target="_blank">{link}</a>}</p>;
}

function Https() {
  const settings = useData<Settings>(`${TAILNET}/settings`, ['settings']);
  const [ask, setAsk] = useState(false);
  const act = useAction();
  const set = async (on: boolean) => {
    if (await act.run(async () => void (await call('PATCH', `${TAILNET}/settings`, { httpsEnabled: on })))) {
      setAsk(false);
      say(t('saved'));
      await settings.reload();
    }
  };
  return (
    <Card title={t('access.https')}>
      {act.problem && !ask && <ProblemBox problem={act.problem} />}
      <Load of={settings}>{(s) => <Switch label={t('access.https.on')} hint={t('access.https.hint')} on={!!s.httpsEnabled} busy={act.busy || !can('network.write')} onSet={(on) => (on ? setAsk(true) : void set(false))} />}</Load>
      <Confirm title={t('access.https.on')} text={t('access.https.ct')} action={t('access.https.do')} open={ask} onClose={() => setAsk(false)} onYes={() => void set(true)} busy={act.busy} problem={act.problem} />
    </Card>
  );
}

/** Shows the edit that the server would make, and saves exactly that text over exactly that version. */
export function FunnelEdit({ selector, remove, open, onClose, done }: { selector?: string; remove?: boolean; open: boolean; onClose: () => void; done: () => void }) {
  const [kind, setKind] = useState('autogroup:member');
  const [who, setWho] = useState('');
  const [edit, setEdit] = useState<Edited>();
  const [problem, setProblem] = useState<Problem>();
  const act = useAction();
  const wanted = selector ?? (kind === 'other' ? who.trim() : kind);
  const look = useAction();
  useEffect(() => {
    setEdit(undefined);
    setProblem(undefined);
    if (!open || !wanted) return;
    const timer = setTimeout(() => void look.run(async () => setEdit((await call<Edited>('POST', `${TAILNET}/acl/funnel`, { selector: wanted, remove: !!remove })).data)), 250);
    return () => clearTimeout(timer);
  }, [open, wanted, remove]);
  const save = async () => {
    const now = edit!;
    const ok = await act.run(async () => {
      const message = remove ? `Funnel taken from ${wanted}` : `Funnel for ${wanted}`;
      await call('POST', `${TAILNET}/acl?message=${encodeURIComponent(message)}`, now.acl, { type: 'application/hujson', etag: quoted(now.from.etag), accept: 'application/hujson' });
    });
    if (ok) {
      say(t('access.saved'));
      onClose();
      done();
    }
  };
  const wrong = act.problem ?? look.problem ?? problem;
  return (
    <Dialog title={t(remove ? 'access.remove' : 'access.add')} open={open} onClose={onClose} wide>
      {!selector && (
        <div class="pair">
          <Select label={t('access.who')} value={kind} onChange={setKind} options={[['autogroup:member', t('access.who.members')], ['autogroup:tagged', t('access.who.tagged')], ['other', t('access.who.other')]]} />
          {kind === 'other' && <Field label={t('access.who.name')} hint={t('access.who.hint')} value={who} onInput={(e) => setWho(e.currentTarget.value)} />}
        </div>
      )}
      {selector && <p><code>{selector}</code></p>}
      {wrong && <ProblemBox problem={wrong} />}
      {edit && (edit.changed ? <><h3>{t('access.change')}</h3><Diff text={edit.unified} /></> : <p class="note">{t('access.already')}</p>)}
      <div class="row">
        <button type="button" class="primary" disabled={!edit?.changed || act.busy} onClick={() => void save()}>{t('access.save')}</button>
        <button type="button" onClick={onClose}>{t('cancel')}</button>
      </div>
    </Dialog>
  );
}

function Who({ policy, locked, onRemove }: { policy: Policy; locked: boolean; onRemove: (selector: string) => void }) {
  const entries = (policy.nodeAttrs ?? []).filter((e) => e.attr?.some((a) => /(^|\/)funnel/.test(a)));
  const targets = entries.flatMap((e) => (e.target ?? []).map((x) => ({ x, attr: (e.attr ?? []).join(' ') })));
  if (!targets.length) return <Empty title={t('access.nobody')} text={t('access.nobody.text')} />;
  return (
    <ul class="lines">
      {targets.map(({ x, attr }) => (
        <li key={x + attr}>
          <div class="grow"><span class="strong break">{x === 'autogroup:member' ? t('access.who.members') : x === '*' ? t('access.who.all') : x}</span><p class="dim break">{(x === 'autogroup:member' || x === '*') && <><code>{x}</code> · </>}{attr}</p></div>
          {x === '*' && <Badge tone="warn">{t('access.wide')}</Badge>}
          {!locked && <button type="button" class="small danger" onClick={() => onRemove(x)} aria-label={t('access.remove.what', { who: x })}>{t('access.take')}</button>}
        </li>
      ))}
    </ul>
  );
}

function FunnelSection() {
  const settings = useData<Settings>(`${TAILNET}/settings`, ['settings']);
  const policy = useData<Policy>(`${TAILNET}/acl`, ['policy']);
  const [adding, setAdding] = useState(false);
  const [removing, setRemoving] = useState('');
  const locked = !can('policy.write') || !!settings.data?.aclsExternallyManagedOn;
  return (
    <>
      <External settings={settings.data} />
      <div class="columns wide-first">
        <Card title={t('access.funnel')} aside={!locked && <button type="button" class="primary" onClick={() => setAdding(true)}>{t('access.add')}</button>}>
          <p class="dim">{t('access.funnel.text')}</p>
          <Load of={policy}>{(p) => <Who policy={p} locked={locked} onRemove={setRemoving} />}</Load>
        </Card>
        <div>
          <Https />
          <Card title={t('access.why')}><p class="dim">{t('access.why.text')}</p><p><a href={to('access', 'explain')}>{t('access.tab.explain')}</a></p></Card>
        </div>
      </div>
      <FunnelEdit open={adding} onClose={() => setAdding(false)} done={() => void policy.reload()} />
      <FunnelEdit open={removing !== ''} selector={removing} remove onClose={() => setRemoving('')} done={() => void policy.reload()} />
    </>
  );
}

export default function Access() {
  const tab = place.value.id || 'funnel';
  const tabs: [string, string][] = [['funnel', t('access.tab.funnel')], ['policy', t('access.tab.policy')], ['history', t('access.tab.history')], ['explain', t('access.tab.explain')]];
  return (
    <Screen title={t('nav.access')} lead={t('access.lead')}>
      <Tabs label={t('nav.access')} items={tabs.map(([id, text]) => ({ href: to('access', id === 'funnel' ? '' : id), text, on: tab === id }))} />
      {tab === 'policy' ? <PolicyEditor /> : tab === 'history' ? <History /> : tab === 'explain' ? <Explain /> : <FunnelSection />}
    </Screen>
  );
}
