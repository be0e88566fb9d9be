// console.mjs ORIGIN OUT_DIR REQUEST: every screen of the console, and the pages that the server makes, in a real browser, against the real server: axe-core in light, dark,
// at 320 px and with 200 % text, refused CSP and calls to elsewhere, pictures for people. Prints one JSON object of what it saw.
import { readFileSync } from 'node:fs';
import { openConsole } from './console-open.mjs';

const [origin, out, request] = process.argv.slice(2);
const axe = readFileSync(new URL('./node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');
const rules = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
const { browser, open, signIn, until, settled, shown } = await openConsole(origin);

/** axe is evaluated, not loaded: a script element would be refused, as it should be. */
async function check(page, name, how) {
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  await page.evaluate(axe);
  const found = await page.evaluate((tags) => window.axe.run(document, { runOnly: tags }), rules);
  for (const v of found.violations) shown.problems.push(`${name} (${how}): ${v.id}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).join(' | ').slice(0, 600)}`);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth + 1
    ? [...document.querySelectorAll('main *, header *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1).map((e) => `${e.tagName}.${e.className}`).slice(0, 5).join(' ') : '');
  if (wide) shown.problems.push(`${name} (${how}) scrolls sideways: ${wide}`);
}

async function inEveryForm(page, name) {
  const file = name.startsWith('page-') ? name : `console-${name}`;
  for (const text of await page.locator('.problem').allInnerTexts()) shown.problems.push(`${name} shows a problem: ${text}`);
  await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' });
  await check(page, name, 'light');
  await page.screenshot({ path: `${out}/${file}.png`, fullPage: true });
  await page.emulateMedia({ colorScheme: 'dark' });
  await check(page, name, 'dark');
  await page.screenshot({ path: `${out}/${file}-dark.png`, fullPage: true });
  await page.emulateMedia({ colorScheme: 'light' });
  await page.setViewportSize({ width: 320, height: 720 });
  await check(page, name, '320 px');
  await page.setViewportSize({ width: 390, height: 844 });
  await page.screenshot({ path: `${out}/${file}-phone.png`, fullPage: true });
  await page.setViewportSize({ width: 1280, height: 860 });
  await page.evaluate(() => (document.documentElement.style.fontSize = '200%'));
  await check(page, name, '200 % text');
  await page.evaluate(() => (document.documentElement.style.fontSize = ''));
  await page.emulateMedia({ forcedColors: 'active' });
  await check(page, name, 'forced colours');
  await page.emulateMedia({ forcedColors: 'none' });
  shown.screens[name] = await page.locator('h1').first().innerText();
  shown.problems.push(...(await page.evaluate(() => window.refused.splice(0))).map((r) => `${name}: refused by CSP: ${r}`));
}

const only = process.env.ONLY?.split(',');
const visits = [['overview', ''], ['funnels', 'funnels'], ['requests', 'requests'], ['machines', 'machines'], ['access', 'access'], ['policy', 'access/policy'],
  ['history', 'access/history'], ['explain', 'access/explain?device=laptop'],
  ['users', 'users'], ['invites', 'users/invites'], ['keys', 'users/keys'], ['logs', 'logs'], ['settings', 'settings'], ['webhooks', 'settings/webhooks'],
  ['certificates', 'settings/certificates'], ['health', 'settings/health'], ['unknown', 'nowhere']];

try {
  const page = await open();
  await signIn(page);
  for (const [name, path] of visits) {
    if (only && !only.includes(name)) continue;
    await page.goto(`${origin}/console/${path}`);
    await settled(page);
    await inEveryForm(page, name);
  }
  for (const [name, path] of [['page-requests', 'requests'], ['page-account', 'account'], ['page-request', `f/${request}`], ['page-verify', 'verify']]) {
    if (only && !only.includes(name)) continue;
    await page.goto(`${origin}/${path}`);
    await settled(page);
    await inEveryForm(page, name);
  }
  for (const [name, path] of [['funnel', 'funnels'], ['machine', 'machines']]) {
    if (only && !only.includes(name)) continue;
    await page.goto(`${origin}/console/${path}`);
    await settled(page);
    await page.locator(`main a[href^="/console/${path}/"]`).first().click();
    await until(page, (p) => location.pathname.split('/').length === 4 && location.pathname.includes(p), path);
    await settled(page);
    shown[`${name}Focus`] = await page.evaluate(() => document.activeElement?.tagName);
    await inEveryForm(page, name);
  }
  console.log(JSON.stringify(shown));
} finally {
  await browser.close();
}
