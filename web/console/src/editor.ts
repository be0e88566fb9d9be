// The policy editor: CodeMirror inside a shadow root, where its styles are constructed sheets that the strict policy of this
// page allows. What the server found stands as marks under the text and in the gutter.
import { history, historyKeymap, standardKeymap } from '@codemirror/commands';
import { Compartment, EditorState, StateEffect, StateField, type Range } from '@codemirror/state';
import { Decoration, drawSelection, EditorView, gutter, GutterMarker, highlightActiveLine, keymap, lineNumbers, type DecorationSet } from '@codemirror/view';
import type { Diagnostic } from './api';
import { hujsonMode } from './policy-text';

const setLints = StateEffect.define<Diagnostic[]>();

function place(state: EditorState, d: Diagnostic): { from: number; to: number } {
  const line = state.doc.line(Math.min(Math.max(d.position.line, 1), state.doc.lines));
  const from = Math.min(line.from + Math.max(d.position.column - 1, 0), line.to);
  const word = /^(?:"(?:[^"\\]|\\.)*"?|[\w.:-]+|\S)/.exec(state.doc.sliceString(from, line.to));
  return { from, to: Math.min(from + (word?.[0].length ?? 1), line.to) };
}

const lints = StateField.define<{ marks: DecorationSet; list: Diagnostic[] }>({
  create: () => ({ marks: Decoration.none, list: [] }),
  update(value, tr) {
    let next = tr.docChanged ? { ...value, marks: value.marks.map(tr.changes) } : value;
    for (const e of tr.effects) {
      if (!e.is(setLints)) continue;
      const ranges: Range<Decoration>[] = e.value.flatMap((d) => {
        const { from, to } = place(tr.state, d);
        return to > from ? [Decoration.mark({ class: `lint-${d.severity}`, attributes: { title: d.message } }).range(from, to)] : [];
      });
      next = { marks: Decoration.set(ranges, true), list: e.value };
    }
    return next;
  },
  provide: (f) => EditorView.decorations.from(f, (v) => v.marks),
});

class LintMark extends GutterMarker {
  constructor(readonly d: Diagnostic) {
    super();
  }
  override toDOM(): Node {
    const el = document.createElement('span');
    el.className = `gutter-${this.d.severity}`;
    el.textContent = this.d.severity === 'error' ? '✕' : '!';
    el.title = this.d.message;
    return el;
  }
}

const lintGutter = gutter({
  class: 'lint-gutter',
  lineMarker: (view, line) => {
    const n = view.state.doc.lineAt(line.from).number;
    const d = view.state.field(lints).list.find((x) => x.position.line === n);
    return d ? new LintMark(d) : null;
  },
  lineMarkerChange: (u) => u.transactions.some((tr) => tr.effects.some((e) => e.is(setLints))),
});

const theme = EditorView.theme({
  '&': { backgroundColor: 'var(--card)', color: 'var(--ink)', fontSize: '.875rem' },
  '&.cm-focused': { outline: 'none' },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '1.6', minHeight: '22rem', maxHeight: '65vh', overflow: 'auto' },
  '.cm-content': { caretColor: 'var(--ink)', padding: '.6rem 0' },
  '.cm-cursor': { borderLeftColor: 'var(--ink)', borderLeftWidth: '2px' },
  '.cm-gutters': { backgroundColor: 'var(--sunk)', color: 'var(--dim)', border: 'none' },
  '.cm-activeLine': { backgroundColor: 'color-mix(in srgb, var(--wash) 55%, transparent)' },
  '.cm-selectionBackground, &.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground': { backgroundColor: 'color-mix(in srgb, var(--accent) 30%, transparent)' },
  '.lint-gutter': { width: '1.2rem', textAlign: 'center' },
  '.gutter-error, .lint-error': { color: 'var(--bad)' },
  '.gutter-warning': { color: 'var(--warn)' },
  '.lint-error': { textDecoration: 'underline wavy var(--bad)', backgroundColor: 'var(--bad-bg)' },
  '.lint-warning': { textDecoration: 'underline wavy var(--warn)' },
  '.h-comment': { color: 'var(--dim)', fontStyle: 'italic' },
  '.h-key': { color: 'var(--accent)' },
  '.h-string': { color: 'var(--good)' },
  '.h-number': { color: 'var(--warn)' },
  '.h-mark': { color: 'var(--dim)' },
});

export interface Editor {
  text: () => string;
  setText: (text: string) => void;
  setLints: (list: Diagnostic[]) => void;
  setReadOnly: (on: boolean) => void;
  goTo: (line: number, column?: number) => void;
  destroy: () => void;
}

interface Options {
  host: HTMLElement;
  text: string;
  label: string;
  describedBy: string; // what a screen reader hears of leaving it
  readOnly: boolean;
  onChange: (text: string) => void;
  onSave: () => void;
}

export function createEditor(o: Options): Editor {
  const root = o.host.shadowRoot ?? o.host.attachShadow({ mode: 'open' });
  const locked = new Compartment();
  const lock = (on: boolean) => [EditorState.readOnly.of(on), EditorView.editable.of(true)];
  const view = new EditorView({
    root, parent: root as unknown as Element,
    state: EditorState.create({
      doc: o.text,
      extensions: [
        lineNumbers(), lintGutter, lints, history(), drawSelection(), highlightActiveLine(), hujsonMode, theme, locked.of(lock(o.readOnly)),
        EditorState.tabSize.of(4), EditorView.lineWrapping,
        EditorView.contentAttributes.of({ 'aria-label': o.label, 'aria-description': o.describedBy, spellcheck: 'false', tabindex: '0' }),
        // Tab is left to the browser: whoever comes here by keyboard gets out by keyboard.
        keymap.of([{ key: 'Mod-s', run: () => (o.onSave(), true) }, ...standardKeymap, ...historyKeymap]),
        EditorView.updateListener.of((u) => u.docChanged && o.onChange(u.state.doc.toString())),
      ],
    }),
  });
  return {
    text: () => view.state.doc.toString(),
    setText: (text) => view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } }),
    setLints: (list) => view.dispatch({ effects: setLints.of(list) }),
    setReadOnly: (on) => view.dispatch({ effects: locked.reconfigure(lock(on)) }),
    goTo: (line, column = 1) => {
      const at = view.state.doc.line(Math.min(Math.max(line, 1), view.state.doc.lines));
      const pos = Math.min(at.from + column - 1, at.to);
      view.dispatch({ selection: { anchor: pos }, effects: EditorView.scrollIntoView(pos, { y: 'center' }) });
      view.focus();
    },
    destroy: () => view.destroy(),
  };
}
