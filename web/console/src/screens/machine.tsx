// One machine: what it is, why it may or may not be public, and what can be done with it.
import { useState } from 'preact/hooks';
import { call, can, TAILNET } from '../api';
import { useAction, useData } from '../data';
import { t } from '../i18n';
import { Dots, shortUrl, Verdict, type Funnel } from '../ladder';
import { go, to } from '../router';
import { Badge, Card, Confirm, Copy, Dialog, Empty, Facts, Field, Load, ProblemBox, say, Screen, Switch, Time } from '../ui';
import { tagsOf } from './machine-add';
import { Badges, isOnline, shortName, type Device } from './machines';

export interface Why {
  has: boolean;
  summary?: string;
  next?: string;
  reasons?: { line: number; text: string }[];
  gate?: { open: boolean; text: string };
}

export function Explained({ why }: { why: Why }) {
  return (
    <>
      <p><Badge tone={why.has ? 'good' : 'bad'}>{why.has ? t('explain.yes') : t('explain.no')}</Badge> {why.summary}</p>
      {!!why.reasons?.length && <ul class="plain">{why.reasons.map((r) => <li key={r.text}><a href={to('access', 'policy', { line: String(r.line) })}>{t('line', { n: r.line })}</a> {r.text}</li>)}</ul>}
      {why.gate && <p class="dim">{why.gate.text}</p>}
      {why.next && <p class="fix"><span class="strong">{t('fix')}</span> {why.next}</p>}
    </>
  );
}

function Edit({ d, what, onClose, done }: { d: Device; what: 'name' | 'tags' | ''; onClose: () => void; done: () => void }) {
  const [text, setText] = useState<string>();
  const act = useAction();
  const value = text ?? (what === 'tags' ? (d.tags ?? []).join(' ') : shortName(d));
  const close = () => {
    setText(undefined);
    act.clear();
    onClose();
  };
  const save = async (e: Event) => {
    e.preventDefault();
    const body = what === 'tags' ? { tags: tagsOf(value) } : { name: value };
    if (await act.run(async () => void (await call('POST', `/device/${d.nodeId}/${what}`, body)))) {
      say(t('saved'));
      close();
      done();
    }
  };
  return (
    <Dialog title={t(what === 'tags' ? 'machine.tags.edit' : 'machine.rename')} open={what !== ''} onClose={close}>
      <form onSubmit={save}>
        <Field label={t(what === 'tags' ? 'machine.tags' : 'machine.name')} hint={t(what === 'tags' ? 'machine.tags.hint' : 'machine.name.hint')} value={value} onInput={(e) => setText(e.currentTarget.value)} />
        {act.problem && <ProblemBox problem={act.problem} />}
        <div class="row"><button class="primary" disabled={act.busy}>{t('save')}</button><button type="button" onClick={close}>{t('cancel')}</button></div>
      </form>
    </Dialog>
  );
}

function Actions({ d, done }: { d: Device; done: () => void }) {
  const [edit, setEdit] = useState<'name' | 'tags' | ''>('');
  const [ask, setAsk] = useState<'expire' | 'delete' | ''>('');
  const act = useAction();
  const post = (path: string, body: object, text: string) => act.run(async () => {
    await call('POST', `/device/${d.nodeId}/${path}`, body);
    say(text);
    done();
  });
  const yes = async () => {
    const gone = ask === 'delete';
    const ok = gone ? await act.run(async () => void (await call('DELETE', `/device/${d.nodeId}`))) : await post('expire', {}, t('machine.expire.done'));
    if (!ok) return;
    setAsk('');
    if (gone) {
      say(t('machine.delete.done', { name: shortName(d) }));
      go(to('machines'));
    }
  };
  return (
    <Card title={t('machine.do')}>
      {act.problem && !ask && <ProblemBox problem={act.problem} />}
      {d.authorized === false && <div class="row first"><button type="button" class="primary" disabled={act.busy} onClick={() => post('authorized', { authorized: true }, t('machine.approved'))}>{t('machine.approve')}</button></div>}
      <div class="row first">
        <button type="button" onClick={() => setEdit('name')}>{t('machine.rename')}</button>
        <button type="button" onClick={() => setEdit('tags')}>{t('machine.tags.edit')}</button>
        {d.authorized && <button type="button" disabled={act.busy} onClick={() => post('authorized', { authorized: false }, t('saved'))}>{t('machine.disapprove')}</button>}
      </div>
      <Switch label={t('machine.noexpiry')} hint={t('machine.noexpiry.hint')} on={!!d.keyExpiryDisabled} busy={act.busy} onSet={(on) => void post('key', { keyExpiryDisabled: on }, t('saved'))} />
      <div class="row">
        <button type="button" class="danger" onClick={() => setAsk('expire')}>{t('machine.expire')}</button>
        <button type="button" class="danger" onClick={() => setAsk('delete')}>{t('machine.delete')}</button>
      </div>
      <Edit d={d} what={edit} onClose={() => setEdit('')} done={done} />
      <Confirm title={t(ask === 'expire' ? 'machine.expire' : 'machine.delete')} text={t(ask === 'expire' ? 'machine.expire.text' : 'machine.delete.text', { name: shortName(d) })}
        action={t(ask === 'expire' ? 'machine.expire' : 'machine.delete')} open={ask !== ''} onClose={() => setAsk('')} onYes={yes} busy={act.busy} problem={act.problem} />
    </Card>
  );
}

export function MachinePage({ id }: { id: string }) {
  const one = useData<Device>(`/device/${id}?fields=all`, ['devices']);
  // An older server has the list alone.
  const all = useData<{ devices: Device[] }>(one.problem?.status === 404 ? `${TAILNET}/devices` : null, ['devices']);
  const why = useData<Why>(`/device/${id}/attributes/explain`, ['policy', 'devices']);
  const funnels = useData<{ funnels: Funnel[] }>(`${TAILNET}/funnels`, ['funnels']);
  const d = one.data ?? all.data?.devices.find((x) => x.nodeId === id || x.id === id);
  if (!d) return <Screen title={t('machine')} lead={<a href={to('machines')}>{t('back')}</a>}><Load of={one}>{() => null}</Load></Screen>;
  const reload = () => void Promise.all([one.reload(), all.reload(), why.reload()]);
  const mine = funnels.data?.funnels.filter((f) => f.nodeId === d.nodeId) ?? [];
  return (
    <Screen title={shortName(d)} lead={<><a href={to('machines')}>{t('nav.machines')}</a> · <i class={`dot ${isOnline(d) ? 'on' : ''}`} aria-hidden="true" /> {isOnline(d) ? t('machine.online') : t('machine.offline')} <Badges d={d} /></>}>
      <div class="columns">
        <Card title={t('facts')}>
          <Facts rows={[
            [t('machine.fqdn'), <span class="break">{d.name} <Copy text={d.name} label={d.name} /></span>],
            [t('machine.host'), d.hostname],
            [t('owner'), d.user || t('tagged')],
            [t('machine.tags'), d.tags?.length ? d.tags.join(' ') : ''],
            [t('machine.os'), [d.os, d.clientVersion].filter(Boolean).join(' · ')],
            [t('machine.addresses'), d.addresses?.map((a) => <div key={a}><code class="break">{a}</code></div>)],
            [t('machine.remote'), d.remote],
            [t('machine.joined'), d.created && <Time at={d.created} />],
            [t('machine.seen'), d.lastSeen && <Time at={d.lastSeen} />],
            [t('machine.keyexpires'), d.keyExpiryDisabled ? t('never') : d.expires && <Time at={d.expires} />],
            [t('machine.id'), <code class="break">{d.nodeId}</code>],
          ]} />
        </Card>
        <div>
          <Card title={t('machine.why')}><Load of={why}>{(w) => <Explained why={w} />}</Load></Card>
          <Card title={t('machine.urls')}>
            {mine.length ? <ul class="lines">{mine.map((f) => <li key={f.id}><a class="grow strong break" href={to('funnels', f.id)}>{shortUrl(f.url)}</a><Dots of={f} /><Verdict of={f} /></li>)}</ul>
              : <Empty title={t('machine.urls.none')} command="funnel 3000" />}
          </Card>
          {can('machines.write') && <Actions d={d} done={reload} />}
        </div>
      </div>
    </Screen>
  );
}
