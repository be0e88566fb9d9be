// request.mjs ORIGIN OUT_DIR PATH CODE LOGIN PASSWORD: somebody else's request as an admin meets it: focus, the button that
// waits, ports with their own diff, a wrong code, another tab, going back, a foreign frame and a foreign form. Prints one
// JSON object of what was seen; pictures for people.
import { readFileSync } from 'node:fs';
import { chromium } from 'playwright-core';

const [origin, out, path, code, login, password] = process.argv.slice(2);
const axe = readFileSync(new URL('./node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');
const rules = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
const url = origin + path, shown = { problems: [] };
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-background-networking', '--disable-component-update'] });

async function check(page, how) {
  await page.evaluate(axe);
  const found = await page.evaluate((tags) => window.axe.run(document, { runOnly: tags }), rules);
  for (const v of found.violations) shown.problems.push(`${how}: ${v.id}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).join(' | ').slice(0, 500)}`);
  if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth + 1)) shown.problems.push(`${how} scrolls sideways`);
}

async function pictures(page, name) {
  for (const [size, width] of [['wide', 1100], ['phone', 390]]) {
    await page.setViewportSize({ width, height: 900 });
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme });
      await check(page, `${name} ${size} ${colorScheme}`);
      await page.screenshot({ path: `${out}/${name}-${size}-${colorScheme}.png`, fullPage: true });
    }
  }
  await page.setViewportSize({ width: 320, height: 700 });
  await check(page, `${name} 320 px`);
  await page.setViewportSize({ width: 1100, height: 900 });
  await page.evaluate(() => { document.documentElement.style.fontSize = '200%'; });
  await check(page, `${name} 200 % text`);
  await page.evaluate(() => { document.documentElement.style.fontSize = ''; });
  await page.emulateMedia({ colorScheme: 'light' });
}

try {
  const context = await browser.newContext({ viewport: { width: 1100, height: 900 }, ignoreHTTPSErrors: true });
  await context.addInitScript(() => {
    window.began = performance.now();
    const look = new MutationObserver(() => {
      const b = document.querySelector('#approve');
      if (b && window.disabledAt === undefined && b.disabled) window.disabledAt = performance.now();
      if (b && window.disabledAt !== undefined && !b.disabled && !window.enabledAt) window.enabledAt = performance.now();
    });
    look.observe(document, { subtree: true, childList: true, attributes: true });
  });
  const page = await context.newPage();
  page.on('pageerror', (e) => shown.problems.push(`${e}`));
  page.on('console', (m) => m.type() === 'error' && !/status of 4/.test(m.text()) && shown.problems.push(m.text()));
  await page.goto(url);
  await page.fill('#login', login);
  await page.fill('#password', password);
  await page.keyboard.press('Enter');
  await page.waitForURL(url);

  shown.focus = await page.evaluate(() => document.activeElement.tagName);
  await page.waitForSelector('#approve:not([disabled])');
  shown.settled = await page.evaluate(() => window.enabledAt - window.disabledAt);
  await page.evaluate(() => dispatchEvent(new Event('resize')));
  shown.againDisabled = await page.locator('#approve').isDisabled();
  shown.codes = await page.locator('input[name=match]').count();
  shown.picked = await page.locator('input[name=match]:checked').count();
  await pictures(page, 'request');

  // Every choice by keyboard, from the heading on; after the pictures, which change the window's size and with it the rest
  // that Approve takes.
  await page.waitForSelector('#approve:not([disabled])');
  await page.locator('h1').focus();
  const stops = [];
  for (let i = 0; i < 30 && !stops.includes('approve'); i++) {
    await page.keyboard.press('Tab');
    stops.push(await page.evaluate(() => document.activeElement.id || document.activeElement.name || document.activeElement.tagName));
    if (stops.at(-1) === 'report') break;
  }
  shown.stops = stops;

  // Other ports: their own diff.
  shown.diff = await page.locator('details[open] .diff').innerText();
  await page.locator('input[name=p8443]').uncheck();
  await page.waitForURL(/ports=/);
  shown.portsDiff = await page.locator('details[open] .diff').innerText();
  await page.locator('input[name=p8443]').check();
  await page.waitForURL(/ports=443%2C8443/);

  const wrong = (await page.locator('input[name=match]').evaluateAll((all) => all.map((i) => i.value))).find((c) => c !== code);
  await page.locator(`input[name=match][value="${wrong}"]`).check();
  await page.locator('#approve').click();
  await page.waitForSelector('#notice');
  shown.wrong = await page.locator('#notice').innerText();
  await pictures(page, 'request-wrong');

  // Framed by somebody else: nothing of it is there.
  const foreign = await (await browser.newContext({ ignoreHTTPSErrors: true, storageState: await context.storageState() })).newPage();
  await foreign.goto('data:text/html,<h1>evil</h1>');
  await foreign.evaluate((u) => { const f = document.createElement('iframe'); f.src = u; document.body.append(f); }, url);
  await foreign.waitForTimeout(1500);
  shown.framed = await Promise.all(foreign.frames().slice(1).map((f) => f.locator('#approve').count().catch(() => 0)));
  // A form of theirs: the cookie stays at home, and so does the token.
  await foreign.goto('data:text/html,<form method=post><input name=csrf value=x><input name=grant value=autogroup:member></form>');
  await foreign.evaluate((u) => { const f = document.querySelector('form'); f.action = `${u}/approve`; f.submit(); }, url);
  await foreign.waitForURL(/login|approve/);
  shown.foreignForm = foreign.url();

  // Approved in one tab: the other one shows it by itself.
  const other = await context.newPage();
  await other.goto(url);
  await page.bringToFront();
  await page.locator(`input[name=match][value="${code}"]`).check();
  await page.locator('#approve:not([disabled])').dblclick();
  await page.waitForSelector('#outcome');
  const from = Date.now();
  await other.waitForSelector('#outcome');
  shown.otherTab = Date.now() - from;
  shown.outcome = await other.locator('#outcome').innerText();
  await pictures(page, 'request-granted');
  // Back: the page before was an answer to a form; the browser asks before it sends that again, and shows nothing to click.
  await page.goBack().catch(() => {});
  await page.waitForTimeout(1500);
  shown.back = await page.locator('#approve').count();
  await page.goto(url);
  shown.reloaded = await page.locator('#outcome').count();
  console.log(JSON.stringify(shown));
} finally {
  await browser.close();
}
