// Every public URL, whether it really works, and the way to turn it off.
import { useMemo, useState } from 'preact/hooks';
import { call, can, TAILNET } from '../api';
import { useAction, useData } from '../data';
import { num, t, tn, tw } from '../i18n';
import { Dots, Ladder, shortUrl, verdict, Verdict, type Funnel } from '../ladder';
import { go, place, setQuery, to } from '../router';
import { Badge, Card, Confirm, Copy, Empty, Facts, Load, ProblemBox, say, Screen, Select, Time } from '../ui';

const bytes = (n?: number): string | undefined => (n === undefined ? undefined : n < 1e3 ? `${num(n)} B` : n < 1e6 ? `${num(Math.round(n / 1e2) / 10)} kB` : `${num(Math.round(n / 1e5) / 10)} MB`);

function Row({ f }: { f: Funnel }) {
  return (
    <tr>
      <td data-label={t('funnels.url')}><a href={to('funnels', f.id)} class="strong break">{shortUrl(f.url)}</a><p class="dim break"><span aria-hidden="true">→ </span><span class="away">{t('funnels.target')}: </span><code>{f.target}</code></p></td>
      <td data-label={t('owner')} class="break">{f.user || t('tagged')}</td>
      <td data-label={t('funnels.since')}><Time at={f.since ?? f.created} /></td>
      <td data-label={t('funnels.ready')}><span class="state-cell"><Dots of={f} /><Verdict of={f} /></span></td>
    </tr>
  );
}

function List() {
  const funnels = useData<{ funnels: Funnel[] }>(`${TAILNET}/funnels`, ['funnels']);
  const q = place.value.query.get('q') ?? '', state = place.value.query.get('state') ?? '';
  const shown = useMemo(() => (funnels.data?.funnels ?? []).filter((f) => `${f.url} ${f.target} ${f.user}`.toLowerCase().includes(q.toLowerCase()) && (!state || verdict(f).tone === state)),
    [funnels.data, q, state]);
  return (
    <Screen title={t('nav.funnels')} lead={t('funnels.lead')}>
      <div class="filters" role="search">
        <p class="field grow"><label class="away" for="q">{t('search')}</label>
          <input id="q" type="search" placeholder={t('funnels.search')} value={q} onInput={(e) => setQuery({ q: e.currentTarget.value })} /></p>
        <Select hidden label={t('funnels.ready')} value={state} onChange={(v) => setQuery({ state: v })}
          options={[['', t('funnels.any')], ['good', t('verdict.good')], ['bad', t('funnels.broken')], ['warn', t('funnels.way')]]} />
      </div>
      <Load of={funnels}>{(d) => d.funnels.length === 0 ? <Card><Empty title={t('funnels.none')} text={t('funnels.none.text')} command="funnel 3000" /></Card> : (
        <Card>
          <p class="dim" role="status">{tn('funnels.count', shown.length)}</p>
          <table class="list">
            <thead><tr><th scope="col">{t('funnels.url')}</th><th scope="col">{t('owner')}</th><th scope="col">{t('funnels.since')}</th><th scope="col">{t('funnels.ready')}</th></tr></thead>
            <tbody>{shown.map((f) => <Row f={f} key={f.id} />)}</tbody>
          </table>
        </Card>
      )}</Load>
    </Screen>
  );
}

function Off({ f }: { f: Funnel }) {
  const [open, setOpen] = useState(false);
  const act = useAction();
  const yes = () => act.run(async () => {
    await call('DELETE', `/funnels/${f.id}`);
    say(t('funnels.off.done', { url: f.url }));
    go(to('funnels'));
  });
  return (
    <>
      <button type="button" class="danger" onClick={() => setOpen(true)}>{t('funnels.off')}</button>
      <Confirm title={t('funnels.off')} text={t('funnels.off.text', { url: f.url })} action={t('funnels.off')} open={open} onClose={() => setOpen(false)} onYes={yes} busy={act.busy} problem={act.problem} />
    </>
  );
}

function Page({ id }: { id: string }) {
  const one = useData<Funnel>(`/funnels/${id}`, ['funnels']);
  // An older server has the list alone.
  const all = useData<{ funnels: Funnel[] }>(one.problem?.status === 404 ? `${TAILNET}/funnels` : null, ['funnels']);
  const f = one.data ?? all.data?.funnels.find((x) => x.id === id);
  const act = useAction();
  const probe = () => act.run(async () => {
    await call('POST', `/funnels/${id}/probe`, {});
    say(t('funnels.probe.done'));
    await one.reload();
  });
  if (!f) return <Screen title={t('nav.funnels')} lead={<a href={to('funnels')}>{t('back')}</a>}><Load of={one}>{() => null}</Load></Screen>;
  return (
    <Screen title={shortUrl(f.url)} lead={<><a href={to('funnels')}>{t('nav.funnels')}</a> · <Verdict of={f} /></>}
      actions={<><button type="button" disabled={act.busy} onClick={probe}>{act.busy ? t('funnels.probe.busy') : t('funnels.probe')}</button>{can('funnel.off') && <Off f={f} />}</>}>
      {act.problem && <ProblemBox problem={act.problem} />}
      <div class="columns wide-first">
        <Card title={t('funnels.ladder')}><Ladder of={f} /></Card>
        <Card title={t('facts')}>
          <Facts rows={[
            [t('funnels.url'), <><a href={f.url} rel="noreferrer" target="_blank" class="break">{f.url}</a> <Copy text={f.url} label={f.url} /></>],
            [t('funnels.target'), <code class="break">{f.target}</code>],
            [t('funnels.port'), f.port],
            [t('funnels.kind'), f.kind],
            [t('machine'), f.nodeId && <a href={to('machines', f.nodeId)}>{f.node ?? f.nodeId}</a>],
            [t('owner'), f.user || t('tagged')],
            [t('funnels.grant'), f.grant],
            [t('expires'), f.expires && <Time at={f.expires} />],
            [t('funnels.since'), (f.since ?? f.created) && <Time at={f.since ?? f.created} />],
            [t('funnels.bytes'), bytes(f.bytes ?? (f.bytesIn === undefined ? undefined : f.bytesIn + (f.bytesOut ?? 0)))],
            [t('state'), f.state && <Badge>{tw('funnel.state', f.state)}</Badge>],
          ]} />
        </Card>
      </div>
    </Screen>
  );
}

export default function Funnels() {
  const id = place.value.id;
  return id ? <Page id={id} key={id} /> : <List />;
}
