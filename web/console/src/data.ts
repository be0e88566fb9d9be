// Data of the server in a component: shown at once from the last visit, fetched again on arrival and whenever the server
// says that it changed.
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { call, problemFrom, type Problem } from './api';
import { onChange, type Topic } from './live';

export interface Resource<T> {
  data?: T;
  etag?: string | null;
  problem?: Problem;
  loading: boolean;
  reload: () => Promise<void>;
}

interface Kept {
  data?: unknown;
  etag?: string | null;
}

const KEPT_MOST = 60;
const kept = new Map<string, Kept>();

function keep(path: string, k: Kept): void {
  kept.delete(path);
  kept.set(path, k);
  for (const old of kept.keys()) {
    if (kept.size <= KEPT_MOST) break;
    kept.delete(old);
  }
}

export function useData<T>(path: string | null, topics: Topic[], accept?: string): Resource<T> {
  const [, again] = useState(0);
  const state = useRef<{ path: string | null; problem?: Problem; loading: boolean; round: number }>({ path: null, loading: false, round: 0 });
  const s = state.current;
  if (s.path !== path) Object.assign(s, { path, problem: undefined, loading: path !== null });

  const key = `${accept ?? ''} ${path}`; // the policy has two forms

  const reload = useCallback(async () => {
    if (path === null) return;
    const round = ++s.round;
    s.loading = true;
    try {
      const answer = await call<T>('GET', path, undefined, { accept });
      if (s.path !== path || s.round !== round) return; // a later one is under way
      keep(key, answer);
      s.problem = undefined;
    } catch (e) {
      if (s.path !== path || s.round !== round) return;
      s.problem = problemFrom(e);
    }
    s.loading = false;
    again((n) => n + 1);
  }, [path]);

  useEffect(() => {
    void reload();
    return onChange(topics, () => void reload());
  }, [reload]);

  const have = path === null ? undefined : kept.get(key);
  return { data: have?.data as T | undefined, etag: have?.etag, problem: s.problem, loading: s.loading, reload };
}

/** Something a person does: one at a time, its problem kept for showing. */
export function useAction(): { busy: boolean; problem?: Problem; clear: () => void; run: (fn: () => Promise<void>) => Promise<boolean> } {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  const run = useCallback(async (fn: () => Promise<void>) => {
    setBusy(true);
    setProblem(undefined);
    try {
      await fn();
      return true;
    } catch (e) {
      setProblem(problemFrom(e));
      return false;
    } finally {
      setBusy(false);
    }
  }, []);
  return { busy, problem, clear: () => setProblem(undefined), run };
}
