// What is public right now, and what waits for me.
import { can, TAILNET } from '../api';
import { useData } from '../data';
import { num, t, tn } from '../i18n';
import { Dots, shortUrl, verdict, Verdict, type Funnel } from '../ladder';
import { to } from '../router';
import { Card, Empty, Load, Screen, Time } from '../ui';
import type { FunnelRequest } from './requests';

interface Device {
  nodeId: string;
  name: string;
  authorized?: boolean;
  connectedToControl?: boolean;
}

function Numbers({ funnels, devices, requests }: { funnels?: Funnel[]; devices?: Device[]; requests?: FunnelRequest[] }) {
  const broken = funnels?.filter((f) => verdict(f).tone === 'bad').length;
  const cells: [string, number | undefined, string, string][] = [
    [t('overview.public'), funnels?.length, to('funnels'), ''],
    [t('overview.broken'), broken, to('funnels', '', { state: 'bad' }), broken ? 'bad-text' : ''],
    [t('overview.waiting'), requests?.length, to('requests'), requests?.length ? 'warn-text' : ''],
    [t('overview.machines'), devices?.length, to('machines'), ''],
  ];
  return (
    <ul class="numbers">
      {cells.map(([label, n, href, tone]) => (
        <li key={label}><a href={href}><span class={`big ${tone}`}>{n === undefined ? '–' : num(n)}</span><span>{label}</span></a></li>
      ))}
    </ul>
  );
}

function Public({ list }: { list: Funnel[] }) {
  if (!list.length) return <Empty title={t('funnels.none')} text={t('funnels.none.text')} command="funnel 3000" />;
  return (
    <ul class="lines">
      {list.slice(0, 8).map((f) => (
        <li key={f.id}>
          <div class="grow"><a href={to('funnels', f.id)} class="strong break">{shortUrl(f.url)}</a><p class="dim break">{f.target} · {f.user || t('tagged')}</p></div>
          <Dots of={f} /><Verdict of={f} />
        </li>
      ))}
      {list.length > 8 && <li><a href={to('funnels')}>{tn('overview.more', list.length - 8)}</a></li>}
    </ul>
  );
}

function Mine({ list, unapproved }: { list: FunnelRequest[]; unapproved: Device[] }) {
  if (!list.length && !unapproved.length) return <Empty title={t('overview.quiet')} text={t('overview.quiet.text')} />;
  return (
    <ul class="lines">
      {list.map((r) => (
        <li key={r.id}>
          <div class="grow"><a href={`/f/${r.id}`} class="strong break">{t('requests.line', { who: r.user || t('tagged'), node: r.node ?? r.nodeId ?? '', port: r.port ?? 443 })}</a>
            <p class="dim">{r.reason || t('requests.noreason')} · <Time at={r.created} /></p></div>
          <a class="button small" href={`/f/${r.id}`}>{t('requests.look')}</a>
        </li>
      ))}
      {unapproved.map((d) => (
        <li key={d.nodeId}><div class="grow"><a href={to('machines', d.nodeId)} class="strong break">{d.name}</a><p class="dim">{t('machines.waits')}</p></div></li>
      ))}
    </ul>
  );
}

export default function Overview() {
  const funnels = useData<{ funnels: Funnel[] }>(`${TAILNET}/funnels`, ['funnels']);
  const devices = useData<{ devices: Device[] }>(`${TAILNET}/devices`, ['devices']);
  const requests = useData<{ requests: FunnelRequest[] }>(`${TAILNET}/funnel-requests?state=pending`, ['requests']);
  const unapproved = (devices.data?.devices ?? []).filter((d) => d.authorized === false && can('machines.write'));
  return (
    <Screen title={t('nav.overview')} lead={t('overview.lead')}>
      <Numbers funnels={funnels.data?.funnels} devices={devices.data?.devices} requests={requests.data?.requests} />
      <div class="columns wide-first">
        <Card title={t('overview.public.title')} aside={<a href={to('funnels')}>{t('all')}</a>}>
          <Load of={funnels}>{(d) => <Public list={d.funnels} />}</Load>
        </Card>
        <Card title={t('overview.mine')} aside={<a href={to('requests')}>{t('all')}</a>}>
          <Load of={requests}>{(d) => <Mine list={d.requests} unapproved={unapproved} />}</Load>
        </Card>
      </div>
    </Screen>
  );
}
