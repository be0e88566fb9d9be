// What was changed, by whom: the configuration audit log, newest first.
import { useEffect, useState } from 'preact/hooks';
import { call, problemFrom, request, TAILNET, type Problem } from '../api';
import { onChange } from '../live';
import { t, tn, tw, when } from '../i18n';
import { place, setQuery } from '../router';
import { Badge, Card, Empty, Field, ProblemBox, Screen, Select, Time } from '../ui';

interface Entry {
  eventTime: string;
  eventGroupID: string;
  origin: string;
  actor: { loginName?: string; type?: string };
  target: { id?: string; name?: string; type?: string; property?: string };
  action: string;
  old?: unknown;
  new?: unknown;
  actionDetails?: string;
  error?: string;
}

const PAGES_MOST = 10, SHOWN_FIRST = 100, DAYS = ['1', '7', '30', '400'];

function query(q: URLSearchParams): string {
  const days = Number(q.get('days') ?? '7');
  const p = new URLSearchParams({ start: new Date(Date.now() - days * 86400e3).toISOString().replace(/\.\d+/, ''), end: new Date().toISOString().replace(/\.\d+/, '') });
  for (const k of ['actor', 'event', 'target']) if (q.get(k)) p.set(k, k === 'actor' ? `~${q.get(k)}` : q.get(k)!);
  return p.toString();
}

/** The log comes oldest first, in pages; people want the newest. */
async function readAll(q: URLSearchParams): Promise<Entry[]> {
  const list: Entry[] = [];
  let cursor: string | undefined;
  for (let i = 0; i < PAGES_MOST; i++) {
    const page = (await call<{ logs: Entry[]; nextCursor?: string }>('GET', `${TAILNET}/logging/configuration?${query(q)}&limit=1000${cursor ? `&cursor=${cursor}` : ''}`)).data;
    list.push(...page.logs);
    cursor = page.nextCursor;
    if (!cursor) break;
  }
  return list.reverse();
}

const readable = (v: unknown): string => (typeof v === 'string' ? v : JSON.stringify(v, null, 2));
/** Details are text, or a flat object as text. */
function details(text: string): string {
  try {
    return Object.entries(JSON.parse(text) as object).filter(([, v]) => v !== '').map(([k, v]) => `${k}: ${v}`).join(' · ');
  } catch {
    return text;
  }
}

const present = (v: unknown): boolean => v !== undefined && v !== null && v !== '';

function Row({ e }: { e: Entry }) {
  return (
    <li>
      <div class="grow">
        <p><span class="strong break">{e.action}</span> {e.error && <Badge tone="bad">{t('logs.refused')}</Badge>}</p>
        <p class="break">{[e.target.name, e.target.property].filter(Boolean).join(' · ')}{e.actionDetails && <span class="dim"> {details(e.actionDetails)}</span>}</p>
        <p class="dim break">{e.actor.loginName || e.actor.type || t('logs.server')} · <span title={when(e.eventTime)}><Time at={e.eventTime} /></span>{e.origin && ` · ${e.origin.toLowerCase()}`}</p>
        {e.error && <p class="bad-text break">{e.error}</p>}
        {(present(e.old) || present(e.new)) && (
          <details><summary>{t('logs.values')}</summary>
            <div class="pair"><div><p class="dim">{t('logs.before')}</p><pre class="pre" tabIndex={0}>{present(e.old) ? readable(e.old) : '–'}</pre></div><div><p class="dim">{t('logs.after')}</p><pre class="pre" tabIndex={0}>{present(e.new) ? readable(e.new) : '–'}</pre></div></div>
          </details>
        )}
      </div>
    </li>
  );
}

async function download(q: URLSearchParams, format: 'csv' | 'jsonl'): Promise<void> {
  const r = await request('GET', `${TAILNET}/logging/configuration?${query(q)}&limit=10000&format=${format}`, undefined, { accept: '*/*' });
  const a = document.createElement('a');
  a.href = URL.createObjectURL(await r.blob());
  a.download = `audit.${format}`;
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 10000);
}

export default function Logs() {
  const q = place.value.query;
  const asked = ['days', 'actor', 'event', 'target'].map((k) => q.get(k) ?? '').join('\n');
  const [list, setList] = useState<Entry[]>();
  const [problem, setProblem] = useState<Problem>();
  const [shown, setShown] = useState(SHOWN_FIRST);
  useEffect(() => {
    let gone = false;
    const read = () => readAll(q).then((l) => !gone && (setList(l), setProblem(undefined)), (e) => !gone && setProblem(problemFrom(e)));
    const timer = setTimeout(read, 200);
    const off = onChange(['logs'], () => void read());
    return () => {
      gone = true;
      clearTimeout(timer);
      off();
    };
  }, [asked]);
  const save = (format: 'csv' | 'jsonl') => void download(q, format).catch((e) => setProblem(problemFrom(e)));
  return (
    <Screen title={t('nav.logs')} lead={t('logs.lead')} actions={<><button type="button" onClick={() => save('csv')}>CSV</button><button type="button" onClick={() => save('jsonl')}>JSON Lines</button></>}>
      <div class="filters" role="search">
        <Select label={t('logs.period')} value={q.get('days') ?? '7'} onChange={(v) => setQuery({ days: v })} options={DAYS.map((d) => [d, tw('logs.days', d)])} />
        <Field label={t('logs.actor')} value={q.get('actor') ?? ''} onInput={(e) => setQuery({ actor: e.currentTarget.value })} />
        <Field label={t('logs.event')} value={q.get('event') ?? ''} onInput={(e) => setQuery({ event: e.currentTarget.value })} />
        <Field label={t('logs.target')} value={q.get('target') ?? ''} onInput={(e) => setQuery({ target: e.currentTarget.value })} />
      </div>
      <Card>
        {problem && <ProblemBox problem={problem} />}
        {list && (list.length ? (
          <>
            <p class="dim" role="status">{tn('logs.count', list.length)}</p>
            <ul class="lines">{list.slice(0, shown).map((e, i) => <Row e={e} key={`${e.eventTime} ${i}`} />)}</ul>
            {list.length > shown && <div class="row"><button type="button" onClick={() => setShown(shown + SHOWN_FIRST)}>{t('older')}</button></div>}
          </>
        ) : <Empty title={t('logs.none')} text={t('logs.none.text')} />)}
        {!list && !problem && <p class="loading" role="status">{t('loading')}</p>}
      </Card>
    </Screen>
  );
}
