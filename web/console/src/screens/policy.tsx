// The policy file: written here, judged by the server while typing, shown as a difference before it is saved, saved only over
// the version that the difference was made with.
import { useEffect, useRef, useState } from 'preact/hooks';
import { call, can, TAILNET, type Diagnostic, type Problem } from '../api';
import { useAction, useData } from '../data';
import type { Editor } from '../editor';
import { num, t, tn } from '../i18n';
import { place } from '../router';
import { Badge, Card, Dialog, Diff, Field, Load, ProblemBox, say } from '../ui';
import { External, quoted, type Settings, type Version } from './access';

const LINT_AFTER_MS = 400;
const HUJSON = 'application/hujson';

interface Effect {
  name: string;
  gains: number;
  losses: number;
  changes: number;
  gaining: { name: string }[];
  losing: { name: string }[];
}

interface Verdict {
  message?: string;
  diagnostics?: Diagnostic[];
  effects?: { changed: boolean; devices: number; attributes: Effect[] };
}

interface PolicyTest {
  src?: string;
  user?: string;
  accept?: string[];
  allow?: string[];
  deny?: string[];
}

/** HuJSON as JSON: comments and the commas before a closing bracket become blanks. */
export function standard(text: string): unknown {
  const bare = text.replace(/"(?:[^"\\]|\\.)*"|\/\/[^\n]*|\/\*[\s\S]*?\*\//g, (m) => (m[0] === '"' ? m : ' '));
  try {
    return JSON.parse(bare.replace(/"(?:[^"\\]|\\.)*"|,(?=\s*[}\]])/g, (m) => (m === ',' ? ' ' : m)));
  } catch {
    return undefined;
  }
}

function Tests({ text, found }: { text: string; found: Diagnostic[] }) {
  const tests = (standard(text) as { tests?: PolicyTest[] } | undefined)?.tests;
  if (!Array.isArray(tests) || !tests.length) return <Card title={t('policy.tests')}><p class="dim">{t('policy.tests.none')}</p></Card>;
  const failed = (i: number) => found.filter((d) => (d as Diagnostic & { pointer?: string }).pointer?.startsWith(`/tests/${i}`) && d.severity === 'error');
  return (
    <Card title={t('policy.tests')}>
      <ul class="lines">
        {tests.map((x, i) => {
          const wrong = failed(i);
          return (
            <li key={i}>
              <div class="grow"><span class="strong break">{x.src ?? x.user}</span>
                <p class="dim break">{[...(x.accept ?? x.allow ?? []).map((y) => `✓ ${y}`), ...(x.deny ?? []).map((y) => `✕ ${y}`)].join('  ')}</p>
                {wrong.map((d) => <p class="bad-text" key={d.message}>{d.message}</p>)}
              </div>
              <Badge tone={wrong.length ? 'bad' : 'good'}>{wrong.length ? t('policy.test.failed') : t('policy.test.passed')}</Badge>
            </li>
          );
        })}
      </ul>
    </Card>
  );
}

function Found({ list, onGo }: { list: Diagnostic[]; onGo: (d: Diagnostic) => void }) {
  return (
    <ul class="lints">
      {list.map((d) => (
        <li key={d.message + d.position.offset}><button type="button" class={d.severity} onClick={() => onGo(d)}>
          <span class={d.severity === 'error' ? 'bad-text' : 'warn-text'}>{t(d.severity === 'error' ? 'policy.error' : 'policy.warning')}</span> {d.message}{d.hint && <span class="dim"> {d.hint}</span>}
        </button></li>
      ))}
    </ul>
  );
}

function Effects({ of }: { of?: Verdict['effects'] }) {
  if (!of) return null;
  if (!of.attributes.length) return <p class="dim">{t('policy.effects.none')}</p>;
  return (
    <ul class="plain">
      {of.attributes.map((a) => (
        <li key={a.name}><code>{a.name}</code>: {tn('policy.gains', a.gains)}, {tn('policy.losses', a.losses)}
          {a.losing.length > 0 && <span class="bad-text break"> − {a.losing.map((d) => d.name).join(', ')}</span>}
          {a.gaining.length > 0 && <span class="dim break"> + {a.gaining.map((d) => d.name).join(', ')}</span>}</li>
      ))}
    </ul>
  );
}

interface Review {
  from: Version;
  unified: string;
}

function SaveDialog({ text, verdict, open, onClose, onSaved }: { text: string; verdict: Verdict; open: boolean; onClose: () => void; onSaved: (text: string, etag: string | null) => void }) {
  const [review, setReview] = useState<Review>();
  const [message, setMessage] = useState('');
  const act = useAction();
  const look = () => act.run(async () => setReview((await call<Review>('POST', `${TAILNET}/acl/diff`, text, { type: HUJSON })).data));
  useEffect(() => {
    setReview(undefined);
    if (open) void look();
  }, [open]);
  const save = async (e: Event) => {
    e.preventDefault();
    await act.run(async () => {
      const a = await call<string>('POST', `${TAILNET}/acl${message ? `?message=${encodeURIComponent(message)}` : ''}`, text, { type: HUJSON, accept: HUJSON, etag: quoted(review!.from.etag) });
      setMessage('');
      onSaved(a.data, a.etag);
    });
  };
  const conflict = act.problem?.status === 412;
  return (
    <Dialog title={t('policy.review')} open={open} onClose={onClose} wide>
      {act.problem && <ProblemBox problem={act.problem} />}
      {conflict && <p>{t('policy.conflict', { who: act.problem?.author ?? '' })} <button type="button" onClick={() => void look()}>{t('policy.compare')}</button></p>}
      {review && (
        <form onSubmit={save}>
          <p class="dim">{t('policy.against', { rev: review.from.rev, who: review.from.author })}</p>
          <Diff text={review.unified} />
          <Effects of={verdict.effects} />
          <Field label={t('policy.message')} hint={t('policy.message.hint')} value={message} maxLength={255} onInput={(e) => setMessage(e.currentTarget.value)} />
          <div class="row"><button class="primary" disabled={act.busy || conflict || !review.unified}>{t('save')}</button><button type="button" onClick={onClose}>{t('cancel')}</button></div>
        </form>
      )}
    </Dialog>
  );
}

export function PolicyEditor() {
  const stored = useData<string>(`${TAILNET}/acl`, ['policy'], HUJSON);
  const settings = useData<Settings>(`${TAILNET}/settings`, ['settings']);
  return <><External settings={settings.data} /><Load of={stored}>{(text) => (typeof text === 'string' ? <Working stored={text} locked={!can('policy.write') || !!settings.data?.aclsExternallyManagedOn} reload={stored.reload} /> : null)}</Load></>;
}

function Working({ stored, locked, reload }: { stored: string; locked: boolean; reload: () => Promise<void> }) {
  const host = useRef<HTMLDivElement>(null);
  const editor = useRef<Editor>(null);
  const [text, setText] = useState(stored);
  const [base, setBase] = useState(stored); // what the draft began with
  const [verdict, setVerdict] = useState<Verdict>({});
  const [problem, setProblem] = useState<Problem>();
  const [saving, setSaving] = useState(false);
  const [failed, setFailed] = useState(false);
  const dirty = text !== base;
  const found = verdict.diagnostics ?? [];
  const errors = found.filter((d) => d.severity === 'error').length;
  const save = useRef(() => {});
  save.current = () => dirty && !errors && setSaving(true);

  useEffect(() => {
    let gone = false;
    import('../editor').then((m) => {
      if (gone || !host.current) return;
      editor.current = m.createEditor({ host: host.current, text: stored, label: t('policy.label'), describedBy: t('policy.keys'), readOnly: locked, onChange: setText, onSave: () => save.current() });
      const line = Number(place.value.query.get('line'));
      if (line) editor.current.goTo(line);
    }, () => setFailed(true));
    return () => {
      gone = true;
      editor.current?.destroy();
    };
  }, []);
  useEffect(() => editor.current?.setReadOnly(locked), [locked]);

  // Somebody else saved: an untouched text follows, a draft is kept and compared with theirs at saving.
  useEffect(() => {
    if (stored !== base && !dirty) {
      setBase(stored);
      editor.current?.setText(stored);
    }
  }, [stored]);

  useEffect(() => {
    const stop = new AbortController();
    const timer = setTimeout(() => {
      call<Verdict>('POST', `${TAILNET}/acl/validate?effects=1`, text, { type: HUJSON, signal: stop.signal }).then((a) => {
        setVerdict(a.data || {});
        setProblem(undefined);
        editor.current?.setLints(a.data.diagnostics ?? []);
      }, (e) => !stop.signal.aborted && setProblem(e.problem));
    }, LINT_AFTER_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [text]);

  useEffect(() => {
    const stay = (e: BeforeUnloadEvent) => dirty && e.preventDefault();
    addEventListener('beforeunload', stay);
    return () => removeEventListener('beforeunload', stay);
  }, [dirty]);

  const saved = (now: string) => {
    setSaving(false);
    setBase(now);
    if (now !== text) editor.current?.setText(now);
    say(t('access.saved'));
    void reload();
  };
  const go = (d: Diagnostic) => editor.current?.goTo(d.position.line, d.position.column);
  return (
    <>
      {stored !== base && dirty && <p class="note" role="status">{t('policy.moved')}</p>}
      <Card>
        <div class="card-top">
          <p role="status">{errors ? <Badge tone="bad">{tn('policy.errors', errors)}</Badge> : <Badge tone="good">{t('policy.valid')}</Badge>} {dirty && <Badge tone="warn">{t('policy.unsaved')}</Badge>}</p>
          <div class="actions">
            <button type="button" disabled={!dirty} onClick={() => editor.current?.setText(base)}>{t('policy.undo')}</button>
            <button type="button" class="primary" disabled={!dirty || errors > 0 || locked} onClick={() => setSaving(true)}>{t('policy.review')}</button>
          </div>
        </div>
        {failed && <p class="bad-text" role="alert">{t('policy.noeditor')}</p>}
        <div class="editor" ref={host} />
        <p class="hint">{t('policy.keys')} · {t('policy.size', { n: num(text.length) })}</p>
        {problem && <ProblemBox problem={problem} />}
        <Found list={found} onGo={go} />
      </Card>
      <Tests text={text} found={found} />
      <SaveDialog text={text} verdict={verdict} open={saving} onClose={() => setSaving(false)} onSaved={saved} />
    </>
  );
}
