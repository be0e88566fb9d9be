// A table of any length of which only the rows in sight exist. Rows are equally high (--row of the style sheet, which
// follows the text size), so that the scroll bar is honest and nothing jumps.
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';

const SPARE = 8; // rows beyond both edges: a fast scroll shows no gap

function rowHeight(el: HTMLElement): number {
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  return Math.round(parseFloat(getComputedStyle(el).getPropertyValue('--row')) * rem) || 48;
}

interface Props<T> {
  items: T[];
  label: string;
  columns: string[];
  row: (item: T) => ComponentChildren; // its cells
}

export function VirtualTable<T>({ items, label, columns, row }: Props<T>) {
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 600, row: 52 });
  useEffect(() => {
    const el = box.current!;
    let frame = 0;
    const look = () => {
      frame = 0;
      const next = { top: el.scrollTop, height: el.clientHeight, row: rowHeight(el) };
      // Only a change of the rows in sight is worth a rendering.
      setView((v) => (Math.trunc(v.top / v.row) === Math.trunc(next.top / next.row) && v.height === next.height && v.row === next.row ? v : next));
    };
    const soon = () => (frame ||= requestAnimationFrame(look));
    const watch = new ResizeObserver(soon);
    el.addEventListener('scroll', soon, { passive: true });
    watch.observe(el);
    look();
    return () => {
      el.removeEventListener('scroll', soon);
      watch.disconnect();
      cancelAnimationFrame(frame);
    };
  }, []);
  // A shorter list may leave the view beyond its end.
  const top = Math.min(view.top, Math.max(0, items.length * view.row - view.height));
  const from = Math.max(0, Math.trunc(top / view.row) - SPARE);
  const until = Math.min(items.length, Math.ceil((top + view.height) / view.row) + SPARE);
  // Rows that scroll out at one end come in again at the other: changing a row is cheaper than making one.
  const slots = Math.max(1, Math.ceil(view.height / view.row) + 2 * SPARE + 1);
  return (
    <div class="vt" role="table" aria-label={label} aria-rowcount={items.length + 1}>
      <div class="vt-head" role="rowgroup"><div role="row" class="vt-row" aria-rowindex={1}>{columns.map((c) => <span role="columnheader" key={c}>{c}</span>)}</div></div>
      <div class="vt-box" role="rowgroup" ref={box} tabIndex={0} aria-label={label}>
        <div class="vt-all" role="presentation" style={{ height: `${items.length * view.row}px` }}>
          {items.slice(from, until).map((item, i) => (
            <div role="row" class="vt-row" key={(from + i) % slots} aria-rowindex={from + i + 2} style={{ transform: `translateY(${(from + i) * view.row}px)` }}>{row(item)}</div>
          ))}
        </div>
      </div>
    </div>
  );
}
