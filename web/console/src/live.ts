// What changed on the server, as it changes: one event stream for all tabs of this browser (HTTP/1.1 allows six connections
// to an origin). The tab that holds the lock listens and tells the others; where the server has no stream, it asks again
// every fifteen seconds.
import { signal } from '@preact/signals';
import { ApiError, TAILNET } from './api';

export type Topic = 'funnels' | 'requests' | 'devices' | 'policy' | 'users' | 'keys' | 'settings' | 'webhooks' | 'logs' | 'relays' | 'certificates';
type Listener = (topics: Set<string>) => void;

const POLL_MS = 15000, GATHER_MS = 400, RETRY_MS = 3000;
export const liveState = signal<'connecting' | 'live' | 'polling'>('connecting');
const listeners = new Set<Listener>();
const channel = new BroadcastChannel('openfunnel-events');
let gathered = new Set<string>(), timer = 0, lastId = '', leading = false;

// The server's events (server/events.c), and whose data they concern. A word that a newer server says concerns everybody.
const words: Record<string, Topic[]> = {
  devices: ['devices'], funnels: ['funnels'], readiness: ['funnels'], lock: ['settings', 'funnels'], certificates: ['certificates'],
  ingresses: ['relays'], requests: ['requests'], grants: ['requests', 'funnels'], policy: ['policy', 'funnels', 'devices'], settings: ['settings'], dns: ['settings'],
  users: ['users'], keys: ['keys'], webhooks: ['webhooks'],
};

const topicsOf = (word: string): string[] => (word in words ? [...words[word], 'logs'] : ['*']);

function tell(topics: Iterable<string>): void {
  for (const topic of topics) gathered.add(topic);
  timer ||= window.setTimeout(() => {
    const now = gathered;
    gathered = new Set();
    timer = 0;
    for (const l of listeners) l(now);
  }, GATHER_MS);
}

export function onChange(wanted: string[], fn: () => void): () => void {
  const listener: Listener = (topics) => {
    if (topics.has('*') || wanted.some((w) => topics.has(w))) fn();
  };
  listeners.add(listener);
  return () => listeners.delete(listener);
}

channel.onmessage = (e: MessageEvent<{ topics?: string[]; state?: typeof liveState.value; ask?: boolean }>) => {
  if (e.data.ask && leading) channel.postMessage({ state: liveState.value }); // a tab that came later
  if (e.data.state) liveState.value = e.data.state;
  if (e.data.topics) tell(e.data.topics);
};

function setState(state: typeof liveState.value): void {
  liveState.value = state;
  channel.postMessage({ state });
}

function publish(topics: string[]): void {
  tell(topics);
  channel.postMessage({ topics });
}

/** A block of an event stream: its id is kept for the next connection, its kind says what to fetch again. */
function takeEvent(block: string): void {
  let name = '';
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':');
    if (colon < 1) continue;
    const field = line.slice(0, colon), value = line.slice(colon + 1).trimStart();
    if (field === 'id') lastId = value;
    if (field === 'event') name = value;
  }
  if (name && name !== 'hello' && name !== 'end') publish(topicsOf(name));
}

async function listen(): Promise<void> {
  // EventSource cannot send the header that marks a call as ours.
  const r = await fetch(`/api/v2${TAILNET}/events`, { credentials: 'same-origin',
    headers: { 'X-Requested-With': 'openfunnel-console', Accept: 'text/event-stream', ...(lastId ? { 'Last-Event-ID': lastId } : {}) } });
  if (!r.ok || !r.body) throw new ApiError({ status: r.status, code: 'events', message: '' });
  setState('live');
  const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value.replaceAll('\r', '')).split('\n\n');
    rest = blocks.pop() ?? '';
    blocks.forEach(takeEvent);
  }
}

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

async function lead(): Promise<void> {
  leading = true;
  for (;;) {
    let missing = false;
    try {
      await listen();
    } catch (e) {
      missing = e instanceof ApiError && e.problem.status === 404;
    }
    setState('polling');
    await pause(missing ? POLL_MS : RETRY_MS);
    if (!document.hidden) publish(['*']);
  }
}

export function startLive(): void {
  channel.postMessage({ ask: true });
  // Where locks are not to be had (an origin without TLS), each tab listens for itself.
  if (navigator.locks) void navigator.locks.request('openfunnel-events', lead);
  else void lead();
  if (liveState.value === 'connecting') void pause(2000).then(() => (liveState.value === 'connecting' && (liveState.value = 'polling')));
}

