// The seven steps from "permitted" to "seen from outside": as a row of marks in lists, as steps with their sentences on the
// page of one public URL.
import { t, tw } from './i18n';
import { Badge, Time, type Tone } from './ui';

export const STEPS = ['permitted', 'https', 'dns', 'certificate', 'relay', 'backend', 'reachable'] as const;
export type StepState = 'ok' | 'fail' | 'wait' | 'unknown';

export interface Step {
  name: string;
  state: StepState;
  text?: string;
  fix?: string;
  checked?: string;
}

export interface Funnel {
  id: string;
  url: string;
  name?: string;
  port?: number;
  nodeId?: string;
  node?: string;
  user?: string;
  kind?: string;
  target?: string;
  source?: string;
  state?: string;
  grant?: string;
  expires?: string;
  since?: string;
  created?: string;
  bytes?: number;
  bytesIn?: number;
  bytesOut?: number;
  readiness?: unknown;
}

type Raw = Record<string, unknown>;

const good = /^(ok|done|pass|passed|ready|yes|true|good|verified)$/i, bad = /^(fail|failed|bad|error|no|false|broken|blocked)$/i;
const waiting = /^(wait|waiting|pending|checking|running|progress|busy)$/i;

function stateOf(v: unknown): StepState {
  const word = String(v ?? '');
  return good.test(word) ? 'ok' : bad.test(word) ? 'fail' : waiting.test(word) ? 'wait' : 'unknown';
}

const text = (...v: unknown[]): string | undefined => v.find((x): x is string => typeof x === 'string' && x !== '');

/** Always seven, in order; what the server does not say is unknown, never good. */
export function stepsOf(f: Funnel): Step[] {
  const given = f.readiness as Raw | Raw[] | undefined;
  const list = Array.isArray(given) ? given : ((given?.steps as Raw[] | undefined) ?? []);
  return STEPS.map((name, i) => {
    const raw = list.find((s) => text(s.step, s.name, s.id) === name) ?? (list.length === STEPS.length && !list.some((s) => text(s.step, s.name, s.id)) ? list[i] : undefined);
    return { name, state: stateOf(raw?.state ?? raw?.status ?? raw?.ok), text: text(raw?.message, raw?.text, raw?.detail), fix: text(raw?.fix), checked: text(raw?.checked, raw?.at, raw?.since) };
  });
}

/** How a URL reads in a list: the scheme is always the same, the port only when it is not 443. */
export const shortUrl = (url: string): string => url.replace(/^https:\/\//, '').replace(/\/$/, '');

/** What a person wants to know first. "Reachable" is said of a probe from outside alone. */
export function verdict(f: Funnel): { tone: Tone; text: string } {
  const steps = stepsOf(f);
  const broken = steps.find((s) => s.state === 'fail');
  if (broken) return { tone: 'bad', text: t('verdict.bad', { step: tw('step', broken.name) }) };
  if (steps.every((s) => s.state === 'ok')) return { tone: 'good', text: t('verdict.good') };
  const next = steps.find((s) => s.state !== 'ok');
  if (steps.every((s) => s.state === 'unknown')) {
    const state = f.state ?? '';
    return { tone: state === 'blocked' ? 'bad' : 'plain', text: tw('funnel.state', state || 'unknown') };
  }
  return { tone: 'warn', text: t('verdict.wait', { step: tw('step', next?.name ?? '') }) };
}

export const Verdict = ({ of }: { of: Funnel }) => {
  const v = verdict(of);
  return <Badge tone={v.tone}>{v.text}</Badge>;
};

export function Dots({ of }: { of: Funnel }) {
  const steps = stepsOf(of);
  const done = steps.filter((s) => s.state === 'ok').length;
  return (
    <span class="dots" role="img" aria-label={t('ladder.count', { n: done, all: steps.length })}>
      {steps.map((s) => <i key={s.name} class={s.state} title={tw('step', s.name)} />)}
    </span>
  );
}

export function Ladder({ of }: { of: Funnel }) {
  return (
    <ol class="ladder">
      {stepsOf(of).map((s) => (
        <li key={s.name} class={s.state}>
          <div class="step">
            <span class="strong">{tw('step', s.name)}</span>
            <span class={`step-state ${s.state}`}>{tw('step.state', s.state)}</span>
            {s.checked && <span class="dim"><Time at={s.checked} /></span>}
          </div>
          <p class={s.text ? '' : 'dim'}>{s.text ?? tw('step.about', s.name)}</p>
          {s.fix && s.state !== 'ok' && <p class={s.state === 'fail' ? 'fix' : 'fix quiet'}><span class="strong">{t('fix')}</span> {s.fix}</p>}
        </li>
      ))}
    </ol>
  );
}
