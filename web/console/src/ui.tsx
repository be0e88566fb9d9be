// The parts that every screen is made of.
import type { ComponentChildren, PartialInputHTMLAttributes } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { signal } from '@preact/signals';
import { isMissing, type Problem } from './api';
import type { Resource } from './data';
import { ago, t, when } from './i18n';
import { arrived } from './router';

type Children = { children?: ComponentChildren };
export type Tone = 'good' | 'bad' | 'warn' | 'info' | 'plain';

// ---- telling ----

const said = signal<{ text: string; at: number } | null>(null);

/** A line at the bottom of the window, read aloud too. */
export function say(text: string): void {
  said.value = { text, at: Date.now() };
}

export function Said() {
  const now = said.value;
  useEffect(() => {
    if (!now) return;
    const id = setTimeout(() => (said.value = null), 6000);
    return () => clearTimeout(id);
  }, [now]);
  return <div class="said" role="status" aria-live="polite">{now && <p>{now.text}</p>}</div>;
}

// ---- a screen ----

export function Screen({ title, lead, actions, children }: Children & { title: string; lead?: ComponentChildren; actions?: ComponentChildren }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} – OpenFunnel`;
    if (arrived.value) heading.current?.focus();
    arrived.value = false;
  }, [title]);
  return (
    <>
      <div class="top">
        <div>
          <h1 ref={heading} tabIndex={-1}>{title}</h1>
          {lead && <p class="lead">{lead}</p>}
        </div>
        {actions && <div class="actions">{actions}</div>}
      </div>
      {children}
    </>
  );
}

export function Card({ title, aside, children, class: more = '' }: Children & { title?: string; aside?: ComponentChildren; class?: string }) {
  const id = useId();
  return (
    <section class={`card ${more}`} aria-labelledby={title ? id : undefined}>
      {title && <div class="card-top"><h2 id={id}>{title}</h2>{aside}</div>}
      {children}
    </section>
  );
}

export function Tabs({ items, label }: { items: { href: string; text: string; on: boolean }[]; label: string }) {
  return (
    <nav class="tabs" aria-label={label}>
      {items.map((i) => <a href={i.href} key={i.href} aria-current={i.on ? 'page' : undefined}>{i.text}</a>)}
    </nav>
  );
}

// ---- small things ----

const marks: Record<Tone, string> = { good: '✓', bad: '✕', warn: '!', info: 'i', plain: '' };

export const Badge = ({ tone = 'plain', children }: Children & { tone?: Tone }) => (
  <span class={`badge ${tone}`}>{marks[tone] && <span class="mark" aria-hidden="true">{marks[tone]}</span>}{children}</span>
);

export function Time({ at }: { at?: string }) {
  return at ? <time dateTime={at} title={when(at)}>{ago(at)}</time> : <span class="dim">–</span>;
}

export function Copy({ text, label }: { text: string; label?: string }) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      say(t('copied'));
    } catch {
      say(t('copied.not'));
    }
  };
  return <button type="button" class="small" onClick={copy} aria-label={label ? t('copy.what', { what: label }) : undefined}>{t('copy')}</button>;
}

export const Command = ({ text }: { text: string }) => <div class="command"><code tabIndex={0}>{text}</code><Copy text={text} label={text} /></div>;

export function Empty({ title, text, command }: { title: string; text?: string; command?: string }) {
  return (
    <div class="empty">
      <p class="strong">{title}</p>
      {text && <p class="dim">{text}</p>}
      {command && <Command text={command} />}
    </div>
  );
}

export function ProblemBox({ problem, retry }: { problem: Problem; retry?: () => void }) {
  if (isMissing(problem)) return <p class="missing"><Badge tone="info">{t('missing')}</Badge> {t('missing.text')}</p>;
  return (
    <div class="problem" role="alert">
      <p class="strong">{problem.message}</p>
      {problem.fix && <p>{problem.fix}</p>}
      <p class="dim">
        {problem.requestId && <>{t('error.request')} <code>{problem.requestId}</code> · </>}<code>{problem.code}</code>
        {retry && <> · <button type="button" class="link" onClick={retry}>{t('retry')}</button></>}
      </p>
    </div>
  );
}

/** What is there, its problem, or that it is on its way. Old data stays visible under a problem. */
export function Load<T>({ of, children }: { of: Resource<T>; children: (data: T) => ComponentChildren }) {
  return (
    <>
      {of.problem && <ProblemBox problem={of.problem} retry={() => void of.reload()} />}
      {of.data !== undefined ? children(of.data) : of.loading && <p class="loading" role="status">{t('loading')}</p>}
    </>
  );
}

export function Facts({ rows }: { rows: [string, ComponentChildren][] }) {
  const present = rows.filter(([, v]) => v !== undefined && v !== null && v !== '');
  return <dl class="facts">{present.map(([k, v]) => <div key={k}><dt>{k}</dt><dd>{v}</dd></div>)}</dl>;
}

// ---- forms ----

type InputProps = Omit<PartialInputHTMLAttributes<HTMLInputElement>, 'role' | 'type'> & { type?: 'text' | 'email' | 'url' | 'search'; list?: string; label: string; hint?: string; error?: string };

export function Field({ label, hint, error, ...input }: InputProps) {
  const id = useId();
  return (
    <p class="field">
      <label for={id}>{label}</label>
      <input id={id} aria-describedby={hint ? `${id}-hint` : undefined} aria-invalid={error ? true : undefined} autocomplete="off" {...(input as object)} />
      {hint && <span class="hint" id={`${id}-hint`}>{hint}</span>}
      {error && <span class="bad-text" role="alert">{error}</span>}
    </p>
  );
}

export function Select({ label, options, value, onChange, hidden, ...more }: { label: string; options: [string, string][]; value: string; hidden?: boolean; name?: string;
  onChange: (v: string) => void }) {
  const id = useId();
  return (
    <p class="field">
      <label for={id} class={hidden ? 'away' : ''}>{label}</label>
      <select id={id} value={value} onChange={(e) => onChange(e.currentTarget.value)} {...more}>
        {options.map(([v, text]) => <option value={v} key={v}>{text}</option>)}
      </select>
    </p>
  );
}

export function Check({ label, hint, ...input }: InputProps) {
  const id = useId();
  return (
    <p class="check">
      <input id={id} aria-describedby={hint ? `${id}-hint` : undefined} {...(input as object)} type="checkbox" />
      <label for={id}>{label}</label>
      {hint && <span class="hint" id={`${id}-hint`}>{hint}</span>}
    </p>
  );
}

export function Switch({ label, hint, on, busy, onSet }: { label: string; hint?: string; on: boolean; busy?: boolean; onSet: (on: boolean) => void }) {
  const id = useId();
  return (
    <div class="switch">
      <div><span id={id} class="strong">{label}</span>{hint && <p class="dim" id={`${id}-hint`}>{hint}</p>}</div>
      <button type="button" role="switch" aria-checked={on} aria-labelledby={id} aria-describedby={hint ? `${id}-hint` : undefined} disabled={busy}
        onClick={() => onSet(!on)}><span aria-hidden="true" /></button>
    </div>
  );
}

export function Dialog({ title, open, onClose, children, wide }: Children & { title: string; open: boolean; onClose: () => void; wide?: boolean }) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const d = ref.current;
    if (open && d && !d.open) d.showModal(); // closing gives the focus back to where it was
    if (!open && d?.open) d.close();
  }, [open]);
  return (
    <dialog ref={ref} class={wide ? 'wide' : ''} aria-labelledby={id} onClose={onClose} onCancel={onClose}>
      {open && <>
        <div class="card-top"><h2 id={id}>{title}</h2><button type="button" class="small" onClick={onClose}>{t('close')}</button></div>
        {children}
      </>}
    </dialog>
  );
}

/** Whatever takes something away: first says what stops working. */
export function Confirm({ title, text, action, open, onClose, onYes, busy, problem, children }: Children & { title: string; text: ComponentChildren; action: string; open: boolean;
  onClose: () => void; onYes: () => void; busy?: boolean; problem?: Problem }) {
  return (
    <Dialog title={title} open={open} onClose={onClose}>
      <p>{text}</p>
      {children}
      {problem && <ProblemBox problem={problem} />}
      <div class="row">
        <button type="button" class="danger" disabled={busy} onClick={onYes}>{action}</button>
        <button type="button" onClick={onClose}>{t('cancel')}</button>
      </div>
    </Dialog>
  );
}

/** A secret that is shown this once. */
export function Once({ secret, label }: { secret: string; label: string }) {
  const [seen, setSeen] = useState(false);
  return (
    <div class="once" role="status">
      <p class="strong">{label}</p>
      <div class="command"><code tabIndex={0}>{seen ? secret : `${secret.slice(0, 12)}…`}</code>
        <button type="button" class="small" aria-pressed={seen} onClick={() => setSeen(!seen)}>{t('show')}</button><Copy text={secret} label={label} /></div>
      <p class="dim">{t('once')}</p>
    </div>
  );
}

// ---- lines that differ ----

export function Diff({ text }: { text: string }) {
  if (!text.trim()) return <p class="dim">{t('diff.none')}</p>;
  const kind = (l: string) => (l.startsWith('@@') || l.startsWith('---') || l.startsWith('+++') ? 'hunk' : l[0] === '+' ? 'add' : l[0] === '-' ? 'del' : '');
  return (
    <pre class="diff" tabIndex={0} aria-label={t('diff')}>
      <code>{text.replace(/\n$/, '').split('\n').map((l, i) => <span key={i} class={kind(l)}>{`${l}\n`}</span>)}</code>
    </pre>
  );
}
