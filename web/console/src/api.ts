// Calls to the server: our own origin, the session's cookie, the page's token on whatever changes something. Every failure
// is a Problem with a sentence, what to do, and the request's id.
import { signal } from '@preact/signals';
import { t } from './i18n';

export interface Diagnostic {
  severity: 'error' | 'warning';
  code: string;
  message: string;
  hint?: string;
  position: { line: number; column: number; offset: number };
}

export interface Problem {
  status: number;
  code: string;
  message: string;
  fix?: string;
  requestId?: string;
  diagnostics?: Diagnostic[];
  author?: string;
  rev?: number;
}

export interface Me {
  id: string;
  loginName: string;
  displayName?: string;
  role: string;
  tailnet?: string;
  permissions?: string[];
  csrfToken?: string;
}

export interface Answer<T> {
  data: T;
  etag: string | null;
}

export const TAILNET = '/tailnet/-';
export const me = signal<Me | null>(null);

export class ApiError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.message);
  }
}

/** A call that this server does not have (yet), as opposed to an object that is gone. */
export const isMissing = (p: Problem): boolean => p.status === 404 && (p.code === 'not_found' || p.code === 'not_supported');
/** Without a list of rights the server is asked and says no itself. */
export const can = (permission: string): boolean => !me.value?.permissions || me.value.permissions.includes(permission);

interface Options {
  etag?: string | null;
  type?: string;
  accept?: string;
  signal?: AbortSignal;
}

function headersFor(method: string, body: unknown, o: Options): Record<string, string> {
  const h: Record<string, string> = { 'X-Requested-With': 'openfunnel-console', Accept: o.accept ?? 'application/json' };
  if (body !== undefined) h['Content-Type'] = o.type ?? 'application/json';
  if (method !== 'GET') h['X-Csrf-Token'] = me.value?.csrfToken ?? '';
  if (o.etag) h['If-Match'] = o.etag;
  return h;
}

async function problemOf(r: Response): Promise<Problem> {
  try {
    const p = (await r.json()) as Partial<Problem>;
    return { ...p, status: r.status, code: p.code ?? 'unknown', message: p.message ?? r.statusText };
  } catch {
    return { status: r.status, code: 'unknown', message: t('error.unreadable', { status: r.status }) };
  }
}

export async function request(method: string, path: string, body?: unknown, o: Options = {}): Promise<Response> {
  let r: Response;
  try {
    r = await fetch(`/api/v2${path}`, {
      method, signal: o.signal, credentials: 'same-origin', headers: headersFor(method, body, o),
      body: body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body),
    });
  } catch (e) {
    if (o.signal?.aborted) throw e;
    throw new ApiError({ status: 0, code: 'offline', message: t('error.offline'), fix: t('error.offline.fix') });
  }
  if (r.status === 401) location.assign('/login');
  if (!r.ok) throw new ApiError(await problemOf(r));
  return r;
}

export async function call<T>(method: string, path: string, body?: unknown, o: Options = {}): Promise<Answer<T>> {
  const r = await request(method, path, body, o);
  const text = await r.text();
  const json = (r.headers.get('Content-Type') ?? '').includes('application/json');
  return { data: (json && text ? JSON.parse(text) : text) as T, etag: r.headers.get('ETag') };
}

export const problemFrom = (e: unknown): Problem =>
  e instanceof ApiError ? e.problem : { status: 0, code: 'internal', message: String(e) };

export async function whoAmI(): Promise<void> {
  me.value = (await call<Me>('GET', '/whoami')).data;
}
