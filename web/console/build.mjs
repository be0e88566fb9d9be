// build.mjs OUT: bundles the console into OUT, each file beside its .gz twin, and writes OUT/console_assets.c, which embeds
// them (web/console_assets.h). Names carry a hash of the content, so that browsers may keep them for ever; the index does
// not and has an ETag. Fails when the whole or the first view grows over its budget (docs: console-api, Annex A).
import { build } from 'esbuild';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const BUDGET_ALL = 150 * 1024, BUDGET_FIRST = 45 * 1024;
const here = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2] ?? 'dist');
const types = { js: 'text/javascript; charset=utf-8', css: 'text/css; charset=utf-8', svg: 'image/svg+xml',
  html: 'text/html; charset=utf-8' };

// esbuild would export every text a second time under a name of its own.
const catalogues = { name: 'catalogues', setup: (b) => b.onLoad({ filter: /locales[/\\]\w+\.json$/ }, (f) => (
  { contents: `export default ${JSON.stringify(JSON.parse(readFileSync(f.path, 'utf8')))}`, loader: 'js' })) };

const base = { absWorkingDir: here, bundle: true, minify: true, write: false, legalComments: 'none', logLevel: 'warning',
  target: ['es2022', 'chrome123', 'firefox120', 'safari17.5'], outdir: out, metafile: true };
const code = await build({ ...base, entryPoints: ['src/main.tsx'], format: 'esm', splitting: true, entryNames: '[name]-[hash]',
  chunkNames: '[name]-[hash]', jsx: 'automatic', jsxImportSource: 'preact', charset: 'utf8', plugins: [catalogues] });
const style = await build({ ...base, entryPoints: ['src/style.css'], entryNames: '[name]-[hash]' });

const files = new Map();
for (const f of [...code.outputFiles, ...style.outputFiles]) files.set(f.path.slice(out.length + 1), Buffer.from(f.contents));
const named = (start, ending) => [...files.keys()].find((n) => n.startsWith(start) && n.endsWith(ending));
const main = named('main-', '.js'), css = named('style-', '.css');

// What the first view loads: the entry and everything that it imports before it runs, and the language that is asked first.
const outputs = code.metafile.outputs;
const key = (name) => Object.keys(outputs).find((k) => k.endsWith(name));
const first = new Set();
(function walk(name) {
  if (first.has(name)) return;
  first.add(name);
  for (const i of outputs[key(name)].imports) if (i.kind === 'import-statement') walk(i.path.split('/').pop());
})(main);
for (const start of ['en-', 'overview-']) {
  const found = named(start, '.js');
  if (found) first.add(found);
}

const icon = readFileSync(join(here, 'src/icon.svg'));
files.set(`icon-${hash(icon).slice(0, 8).toUpperCase()}.svg`, icon);
const html = readFileSync(join(here, 'src/index.html'), 'utf8')
  .replaceAll('{main}', main).replaceAll('{style}', css).replaceAll('{icon}', named('icon-', '.svg'))
  .replace('{preload}', [...first].filter((n) => n !== main).map((n) => `<link rel=modulepreload href=/console/assets/${n}>`).join(''));
files.set('index.html', Buffer.from(html));
first.add(css).add('index.html');

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
let all = 0, before = 0;
const rows = [], lines = [];
for (const [name, data] of [...files].sort()) {
  const zipped = gzipSync(data, { level: 9 });
  zipped[9] = 255; // the system that packed it is nobody's business, and would differ from machine to machine
  writeFileSync(join(out, name), data);
  writeFileSync(join(out, `${name}.gz`), zipped);
  all += zipped.length;
  if (first.has(name)) before += zipped.length;
  rows.push({ name, data, zipped });
  lines.push(`${String(zipped.length).padStart(7)} ${first.has(name) ? 'first' : '     '} ${name}`);
}
writeFileSync(join(out, 'sizes.txt'), `${lines.join('\n')}\n${String(all).padStart(7)} in all of ${BUDGET_ALL}, ${before} before the first paint of ${BUDGET_FIRST}\n`);
writeFileSync(join(out, 'console_assets.c'), source(rows));
if (all > BUDGET_ALL || before > BUDGET_FIRST) {
  console.error(`console: over budget: ${all} bytes gzip in all (${BUDGET_ALL}), ${before} before the first paint (${BUDGET_FIRST}); ${out}/sizes.txt names them`);
  process.exit(1);
}
console.log(`console: ${all} bytes gzip in all, ${before} before the first paint`);

function hash(data) {
  return createHash('sha256').update(data).digest('hex');
}

function embed(id, path) {
  return `__asm__(".section .rodata\\n.globl ${id}\\n.hidden ${id}\\n${id}:\\n.incbin \\"${path}\\"\\n"
        ".globl ${id}_end\\n.hidden ${id}_end\\n${id}_end:\\n.byte 0\\n.previous");
extern const char ${id}[], ${id}_end[];
`;
}

function source(list) {
  const asm = list.map((r, i) => embed(`console_${i}`, join(out, r.name)) + embed(`console_${i}_gz`, join(out, `${r.name}.gz`)));
  const table = list.map((r, i) => `    {"${r.name}", "${types[r.name.split('.').pop()]}", "\\"${hash(r.data).slice(0, 32)}\\"", console_${i}, console_${i}_end, console_${i}_gz, console_${i}_gz_end},`);
  return `/* Made by web/console/build.mjs; do not edit. */
#include "web/console_assets.h"
${asm.join('')}
const struct console_asset console_assets[] = {
${table.join('\n')}
};
const size_t console_asset_count = sizeof(console_assets) / sizeof(console_assets[0]);
`;
}
