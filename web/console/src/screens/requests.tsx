// Who asked to go public, and what became of it. Deciding happens on the request's own page, which shows the whole change.
import { TAILNET } from '../api';
import { useData } from '../data';
import { t, tn, tw } from '../i18n';
import { place, setQuery } from '../router';
import { Badge, Card, Empty, Load, Screen, Time, type Tone } from '../ui';

export interface FunnelRequest {
  id: string;
  state: string;
  user?: string;
  nodeId?: string;
  node?: string;
  port?: number;
  url?: string;
  target?: string;
  reason?: string;
  matchCode?: string;
  created?: string;
  expires?: string;
  decidedBy?: string;
  decided?: string;
}

const tones: Record<string, Tone> = { pending: 'warn', granted: 'good', live: 'good', approved: 'good', denied: 'bad', failed: 'bad', revoked: 'bad' };
const filters = ['pending', 'granted', 'denied', 'expired', 'cancelled', 'all'];

function Row({ r }: { r: FunnelRequest }) {
  return (
    <li>
      <div class="grow">
        <a href={`/f/${r.id}`} class="strong break">{t('requests.line', { who: r.user || t('tagged'), node: r.node ?? r.nodeId ?? '', port: r.port ?? 443 })}</a>
        <p class="break">{r.reason ? `“${r.reason}”` : <span class="dim">{t('requests.noreason')}</span>}</p>
        <p class="dim">{t('requests.asked')} <Time at={r.created} />{r.matchCode && <> · {t('requests.code')} <code>{r.matchCode}</code></>}
          {r.state === 'pending' && r.expires && <> · {t('requests.until')} <Time at={r.expires} /></>}{r.decidedBy && <> · {t('requests.by', { who: r.decidedBy })}</>}</p>
      </div>
      <Badge tone={tones[r.state] ?? 'plain'}>{tw('request.state', r.state)}</Badge>
      {r.state === 'pending' && <a class="button" href={`/f/${r.id}`}>{t('requests.decide')}</a>}
    </li>
  );
}

export default function Requests() {
  const state = place.value.query.get('state') ?? 'pending';
  const list = useData<{ requests: FunnelRequest[] }>(`${TAILNET}/funnel-requests${state === 'all' ? '' : `?state=${encodeURIComponent(state)}`}`, ['requests']);
  return (
    <Screen title={t('nav.requests')} lead={t('requests.lead')}>
      <div class="chips" role="group" aria-label={t('state')}>
        {filters.map((f) => <button type="button" key={f} aria-pressed={state === f} onClick={() => setQuery({ state: f === 'pending' ? '' : f })}>{tw('request.state', f)}</button>)}
      </div>
      <Card>
        <Load of={list}>{(d) => d.requests.length ? (
          <>
            <p class="dim" role="status">{tn('requests.count', d.requests.length)}</p>
            <ul class="lines">{d.requests.map((r) => <Row r={r} key={r.id} />)}</ul>
          </>
        ) : <Empty title={t(state === 'pending' ? 'requests.none' : 'requests.none.state')} text={t('requests.none.text')} command="funnel 3000" />}</Load>
        {list.problem && <p><a href="/requests">{t('requests.plain')}</a></p>}
      </Card>
    </Screen>
  );
}
