// Addresses: /console/SCREEN/ID?filters. Every object and every filter has one; links are plain <a href> that open in a new
// tab like any other.
import { signal } from '@preact/signals';

export interface Place {
  screen: string;
  id: string;
  query: URLSearchParams;
}

function read(): Place {
  const [, , screen = '', id = ''] = location.pathname.split('/');
  return { screen: screen || 'overview', id: decodeURIComponent(id), query: new URLSearchParams(location.search) };
}

export const place = signal(read());
/** Set when a person went somewhere: the new screen takes the focus. Not on the first load. */
export const arrived = { value: false };

export const to = (screen: string, id = '', query?: Record<string, string>): string => {
  const q = query ? `?${new URLSearchParams(query)}` : '';
  return `/console/${screen}${id ? `/${encodeURIComponent(id)}` : ''}${q}`;
};

export function go(address: string): void {
  history.pushState(null, '', address);
  arrived.value = true;
  place.value = read();
  scrollTo(0, 0);
}

/** A filter: the address follows without a new entry for every letter typed. */
export function setQuery(values: Record<string, string>): void {
  const q = new URLSearchParams(location.search);
  for (const [k, v] of Object.entries(values)) {
    if (v) q.set(k, v);
    else q.delete(k);
  }
  history.replaceState(null, '', location.pathname + (q.size ? `?${q}` : ''));
  place.value = read();
}

export function startRouter(): void {
  addEventListener('popstate', () => {
    arrived.value = true;
    place.value = read();
  });
  document.addEventListener('click', (e) => {
    const a = (e.target as Element).closest('a');
    if (!a || e.defaultPrevented || e.button || e.metaKey || e.ctrlKey || e.shiftKey || a.target || !a.pathname.startsWith('/console')) return;
    if (a.origin !== location.origin || a.hash) return;
    e.preventDefault();
    go(a.pathname + a.search);
  });
}
