// All machines: found by typing, filtered by the address, ten thousand of them as fast as ten.
import { useMemo, useState } from 'preact/hooks';
import { can, TAILNET } from '../api';
import { useData } from '../data';
import { t, tn, tw } from '../i18n';
import { place, setQuery, to } from '../router';
import { Badge, Card, Empty, Load, Screen, Select, Time } from '../ui';
import { VirtualTable } from '../virtual';
import { AddMachine } from './machine-add';
import { MachinePage } from './machine';

export interface Device {
  id?: string;
  nodeId: string;
  name: string;
  hostname?: string;
  user?: string;
  os?: string;
  clientVersion?: string;
  addresses?: string[];
  tags?: string[];
  created?: string;
  lastSeen?: string;
  expires?: string;
  keyExpiryDisabled?: boolean;
  authorized?: boolean;
  isEphemeral?: boolean;
  connectedToControl?: boolean;
  funnel?: boolean;
  relays?: number;
  remote?: string;
  nodeKey?: string;
  machineKey?: string;
}

const WEEK_MS = 7 * 86400e3;

export const isOnline = (d: Device): boolean => d.connectedToControl ?? (d.relays ?? 0) > 0;
export const isExpired = (d: Device): boolean => !d.keyExpiryDisabled && !!d.expires && Date.parse(d.expires) < Date.now();
const isExpiring = (d: Device): boolean => !d.keyExpiryDisabled && !!d.expires && !isExpired(d) && Date.parse(d.expires) < Date.now() + WEEK_MS;

export const shortName = (d: Device): string => d.name.split('.')[0] || d.nodeId;

const states: Record<string, (d: Device) => boolean> = {
  online: isOnline,
  offline: (d) => !isOnline(d),
  waiting: (d) => d.authorized === false,
  funnel: (d) => !!d.funnel,
  tagged: (d) => !!d.tags?.length,
  ephemeral: (d) => !!d.isEphemeral,
  expiring: (d) => isExpiring(d) || isExpired(d),
};

export function Badges({ d }: { d: Device }) {
  return (
    <span class="badges">
      {d.authorized === false && <Badge tone="warn">{t('machine.waiting')}</Badge>}
      {d.funnel && <Badge tone="info">Funnel</Badge>}
      {isExpired(d) ? <Badge tone="bad">{t('machine.expired')}</Badge> : isExpiring(d) && <Badge tone="warn">{t('machine.expiring')}</Badge>}
      {d.isEphemeral && <Badge>{t('machine.ephemeral')}</Badge>}
    </span>
  );
}

/** What typing looks in, made once per answer of the server. */
const haystack = (d: Device): string => [d.name, d.hostname, d.user, d.os, d.clientVersion, d.nodeId, ...(d.addresses ?? []), ...(d.tags ?? [])].join(' ').toLowerCase();

function cells(d: Device) {
  return (
    <>
      <span role="cell" class="vt-name"><a href={to('machines', d.nodeId)} class="strong cut">{shortName(d)}</a><span class="dim cut">{d.addresses?.[0] ?? ''}</span></span>
      <span role="cell" class="cut">{d.tags?.length ? d.tags.join(' ') : d.user || t('tagged')}</span>
      <span role="cell" class="cut vt-more">{[d.os, d.clientVersion].filter(Boolean).join(' · ')}</span>
      <span role="cell" class="vt-badges"><Badges d={d} /></span>
      <span role="cell" class="vt-seen"><i class={`dot ${isOnline(d) ? 'on' : ''}`} aria-hidden="true" />{isOnline(d) ? t('machine.online') : d.lastSeen ? <Time at={d.lastSeen} /> : t('machine.offline')}</span>
    </>
  );
}

function Filters({ devices }: { devices: Device[] }) {
  const q = place.value.query;
  const systems = useMemo(() => [...new Set(devices.map((d) => d.os ?? '').filter(Boolean))].sort(), [devices]);
  return (
    <div class="filters" role="search">
      <p class="field grow"><label class="away" for="q">{t('search')}</label>
        <input id="q" type="search" placeholder={t('machines.search')} value={q.get('q') ?? ''} onInput={(e) => setQuery({ q: e.currentTarget.value })} /></p>
      <Select hidden label={t('state')} value={q.get('state') ?? ''} onChange={(v) => setQuery({ state: v })}
        options={[['', t('machines.any')], ...Object.keys(states).map((s): [string, string] => [s, tw('machines.state', s)])]} />
      <Select hidden label={t('machine.os')} value={q.get('os') ?? ''} onChange={(v) => setQuery({ os: v })} options={[['', t('machines.anyos')], ...systems.map((s): [string, string] => [s, s])]} />
    </div>
  );
}

function List() {
  const devices = useData<{ devices: Device[] }>(`${TAILNET}/devices?fields=all`, ['devices']);
  const [adding, setAdding] = useState(false);
  const q = place.value.query;
  const all = devices.data?.devices;
  const index = useMemo(() => (all ?? []).map((d) => ({ d, text: haystack(d) })), [all]);
  const words = (q.get('q') ?? '').toLowerCase().split(/\s+/).filter(Boolean), state = states[q.get('state') ?? ''], os = q.get('os') ?? '';
  const shown = useMemo(() => index.filter((x) => words.every((w) => x.text.includes(w)) && (!state || state(x.d)) && (!os || x.d.os === os)).map((x) => x.d),
    [index, words.join(' '), state, os]);
  return (
    <Screen title={t('nav.machines')} lead={t('machines.lead')} actions={can('auth_keys') && <button type="button" class="primary" onClick={() => setAdding(true)}>{t('machines.add')}</button>}>
      <AddMachine open={adding} onClose={() => setAdding(false)} />
      <Load of={devices}>{(d) => d.devices.length === 0 ? <Card><Empty title={t('machines.none')} text={t('machines.none.text')} command={`sudo funnel up ${location.origin}`} /></Card> : (
        <>
          <Filters devices={d.devices} />
          <Card class="flush">
            <p class="dim count-line" role="status">{tn('machines.count', shown.length)}</p>
            {shown.length ? <VirtualTable items={shown} label={t('nav.machines')} row={cells}
              columns={[t('machine.name'), t('owner'), t('machine.os'), t('state'), t('machine.seen')]} /> : <Empty title={t('machines.nomatch')} text={t('machines.nomatch.text')} />}
          </Card>
        </>
      )}</Load>
    </Screen>
  );
}

export default function Machines() {
  const id = place.value.id;
  return id ? <MachinePage id={id} key={id} /> : <List />;
}
