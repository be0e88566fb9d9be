// Colours for HuJSON: JSON with comments and commas at the end. One expression cuts the text into words; the whole text is cut
// anew after a change (a comment opened at the top reaches to the end), only the words in sight become marks. A mode of the
// editor's own language package would weigh ten kilobytes more.
import type { Range } from '@codemirror/state';
import { Decoration, ViewPlugin, type DecorationSet, type EditorView, type ViewUpdate } from '@codemirror/view';

const words = /\/\/[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|"(?:[^"\\\n]|\\.)*"?(\s*:)?|-?\b\d[\d.eE+-]*|\b(?:true|false|null)\b|[{}[\],:]/g;

const mark = (name: string) => Decoration.mark({ class: `h-${name}` });
const marks = { comment: mark('comment'), key: mark('key'), string: mark('string'), number: mark('number'), mark: mark('mark') };

function kindOf(word: string, isKey: boolean): Decoration {
  const c = word[0];
  if (c === '/') return marks.comment;
  if (c === '"') return isKey ? marks.key : marks.string;
  return /[\w-]/.test(c) ? marks.number : marks.mark;
}

interface Word {
  from: number;
  to: number;
  deco: Decoration;
}

function cut(text: string): Word[] {
  const list: Word[] = [];
  for (const m of text.matchAll(words)) {
    const colon = m[1] as string | undefined;
    list.push({ from: m.index, to: m.index + m[0].length - (colon?.length ?? 0), deco: kindOf(m[0], !!colon) });
  }
  return list;
}

class Colours {
  private list: Word[];
  decorations: DecorationSet;

  constructor(view: EditorView) {
    this.list = cut(view.state.doc.toString());
    this.decorations = this.inSight(view);
  }

  update(u: ViewUpdate): void {
    if (u.docChanged) this.list = cut(u.state.doc.toString());
    if (u.docChanged || u.viewportChanged) this.decorations = this.inSight(u.view);
  }

  private inSight(view: EditorView): DecorationSet {
    const { from, to } = view.viewport;
    const ranges: Range<Decoration>[] = this.list.filter((w) => w.to > from && w.from < to).map((w) => w.deco.range(w.from, w.to));
    return Decoration.set(ranges);
  }
}

export const hujsonMode = ViewPlugin.fromClass(Colours, { decorations: (c) => c.decorations });
