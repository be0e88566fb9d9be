// Why a machine has a right, or lacks it.
import { useId, useMemo } from 'preact/hooks';
import { TAILNET } from '../api';
import { useData } from '../data';
import { t } from '../i18n';
import { place, setQuery } from '../router';
import { Card, Empty, Field, Load } from '../ui';
import { Explained, type Why } from './machine';
import { shortName, type Device } from './machines';

const SUGGEST_MOST = 30;

export function Explain() {
  const devices = useData<{ devices: Device[] }>(`${TAILNET}/devices`, ['devices']);
  const q = place.value.query;
  const text = q.get('device') ?? '', attr = q.get('attr') ?? 'funnel', port = q.get('port') ?? '443';
  const all = devices.data?.devices ?? [];
  const found = all.find((d) => d.nodeId === text || d.name === text || shortName(d) === text);
  const near = useMemo(() => all.filter((d) => `${d.name} ${d.user}`.includes(text)).slice(0, SUGGEST_MOST), [devices.data, text]);
  const why = useData<Why>(found ? `/device/${found.nodeId}/attributes/explain?attr=${encodeURIComponent(attr)}&port=${encodeURIComponent(port)}` : null, ['policy', 'devices']);
  const list = useId();
  return (
    <Card title={t('access.tab.explain')}>
      <p class="dim">{t('explain.text')}</p>
      <div class="pair">
        <Field label={t('machine')} list={list} value={text} onInput={(e) => setQuery({ device: e.currentTarget.value })} />
        <Field label={t('explain.attr')} value={attr} onInput={(e) => setQuery({ attr: e.currentTarget.value })} />
        <Field label={t('funnels.port')} inputMode="numeric" value={port} onInput={(e) => setQuery({ port: e.currentTarget.value })} />
      </div>
      <datalist id={list}>{near.map((d) => <option value={shortName(d)} key={d.nodeId}>{d.user}</option>)}</datalist>
      {found ? <Load of={why}>{(w) => <Explained why={w} />}</Load> : text ? <Empty title={t('explain.unknown')} /> : null}
    </Card>
  );
}
