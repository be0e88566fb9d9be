// console-do.mjs ORIGIN OUT_DIR WHAT[,WHAT…] [CODE]: what people do in the console. Policy edit and key by keyboard alone, the approval page from
// the queue, ten thousand machines filtered and scrolled, another tab that hears of a change, the second language, longer texts.
import { openConsole } from './console-open.mjs';

const [origin, out, what, code] = process.argv.slice(2);
const { browser, open, signIn, until, settled, shown } = await openConsole(origin);

const press = async (page, ...keys) => {
  for (const k of keys) await page.keyboard.press(k);
};

/** Tab until the focus is on what is meant; every stop must be visible. */
async function tabTo(page, what, most = 80) {
  for (let i = 0; i < most; i++) {
    const at = await page.evaluate(() => {
      let e = document.activeElement;
      while (e?.shadowRoot?.activeElement) e = e.shadowRoot.activeElement;
      const r = e?.getBoundingClientRect(), style = e && getComputedStyle(e);
      return { name: (e?.getAttribute('aria-label') || e?.textContent || '').trim(), tag: e?.tagName, seen: !!r && r.width > 0 && r.height > 0 && style.visibility === 'visible' };
    });
    if (i && !at.seen) shown.problems.push(`the focus is on something that nobody sees: ${at.tag} ${at.name}`);
    if (at.name.startsWith(what)) return;
    await press(page, 'Tab');
  }
  throw new Error(`the focus never reached ${what} on ${page.url()}`);
}

const doing = {
  async policy(page) {
    await page.goto(`${origin}/console/access/policy`);
    await settled(page);
    await tabTo(page, 'Policy file', 60);
    // The last stop named so is the editor itself.
    await until(page, () => document.querySelector('.editor').shadowRoot.querySelector('.cm-content'));
    for (let i = 0; i < 20 && !(await page.evaluate(() => document.activeElement.classList.contains('editor'))); i++) await press(page, 'Tab');
    await press(page, 'Control+End');
    await page.keyboard.type('// written by keyboard, "quotes" stay as typed');
    await press(page, 'Control+Home', 'End', 'Enter');
    await page.keyboard.type('{ broken');
    await until(page, () => /error/.test(document.querySelector('.card-top [role=status], .card-top')?.textContent ?? ''));
    shown.lint = await page.locator('.lints').innerText();
    shown.lintMarks = await page.evaluate(() => document.querySelector('.editor').shadowRoot.querySelectorAll('.lint-error').length);
    await page.screenshot({ path: `${out}/console-policy-error.png`, fullPage: true });
    await press(page, 'Shift+Home', 'Backspace', 'Backspace');
    await until(page, () => /Valid/.test(document.querySelector('.card-top')?.textContent ?? ''));
    await press(page, 'Tab');
    shown.leftByTab = await page.evaluate(() => !document.activeElement.classList.contains('editor'));
    await press(page, 'Shift+Tab', 'Control+s');
    await page.waitForSelector('dialog[open] .diff');
    shown.reviewed = await page.locator('dialog[open] .diff').innerText();
    await page.screenshot({ path: `${out}/console-policy-review.png` });
    await tabTo(page, 'Save');
    await press(page, 'Enter');
    await until(page, () => !document.querySelector('dialog[open]'));
    shown.afterSave = await page.evaluate(() => document.activeElement?.className);
    shown.said = await page.locator('.said').innerText();
  },
  async key(page) {
    await page.goto(`${origin}/console/users/keys`);
    await settled(page);
    await tabTo(page, 'Create key');
    await press(page, 'Enter');
    await page.waitForSelector('dialog[open]');
    await tabTo(page, 'Make the key');
    await press(page, 'Enter');
    await page.waitForSelector('dialog[open] .once');
    await tabTo(page, 'Show');
    await press(page, 'Space');
    shown.key = await page.locator('.once code').innerText();
    await page.screenshot({ path: `${out}/console-key-made.png` });
    await press(page, 'Escape');
    await until(page, () => !document.querySelector('dialog[open]'));
    shown.keyFocus = await page.evaluate(() => document.activeElement?.textContent);
  },
  async funnel(page) {
    await page.goto(`${origin}/console/access`);
    await settled(page);
    await page.getByRole('button', { name: 'Add Funnel to policy' }).click();
    await page.waitForSelector('dialog[open] .diff');
    shown.edit = await page.locator('dialog[open] .diff').innerText();
    await page.screenshot({ path: `${out}/console-add-funnel.png` });
    await press(page, 'Escape');
  },
  async skip(page) {
    await page.goto(`${origin}/console/`);
    await settled(page);
    await press(page, 'Tab');
    shown.firstStop = await page.evaluate(() => document.activeElement.textContent);
    await press(page, 'Enter');
    shown.skippedTo = await page.evaluate(() => document.activeElement.id);
  },
  async machines(page) {
    await page.goto(`${origin}/console/machines`);
    await settled(page);
    shown.machines = await page.locator('.count-line').innerText();
    // From the key to the painted frame, as the browser's own clock has it; the median of several words.
    shown.filterMs = [];
    for (const word of ['machine-0', 'machine-00', 'machine-001', 'linux', 'ann', 'windows 5', '']) {
      shown.filterMs.push(await page.evaluate(async (w) => {
        const input = document.querySelector('#q');
        const start = performance.now();
        Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(input, w);
        input.dispatchEvent(new Event('input', { bubbles: true }));
        await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
        return performance.now() - start;
      }, word));
    }
    await page.fill('#q', 'machine-00777');
    await until(page, () => document.querySelectorAll('.vt-all .vt-row').length === 1);
    shown.address = page.url();
    await page.fill('#q', '');
    shown.rowsInPage = await page.locator('.vt-all .vt-row').count();
    // Other programs share this machine: what counts is the processor time of the page's own thread for a step.
    const cdp = await page.context().newCDPSession(page);
    await cdp.send('Performance.enable', { timeDomain: 'threadTicks' });
    const spent = async () => (await cdp.send('Performance.getMetrics')).metrics.find((m) => m.name === 'TaskDuration').value * 1000;
    shown.scrollMs = [];
    for (let i = 0; i < 30; i++) {
      const before = await spent();
      await page.evaluate(async () => {
        document.querySelector('.vt-box').scrollTop += 3000;
        await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
      });
      shown.scrollMs.push((await spent()) - before);
    }
    shown.lastRow = await page.evaluate(async () => {
      const box = document.querySelector('.vt-box');
      box.scrollTop = box.scrollHeight;
      await new Promise((done) => setTimeout(done, 200));
      return [...document.querySelectorAll('.vt-all .vt-row')].pop().getAttribute('aria-rowindex');
    });
    await page.reload();
    await settled(page);
    await page.goto(shown.address);
    await settled(page);
    shown.kept = await page.locator('.count-line').innerText();
  },
  async live(page) {
    await until(page, () => document.querySelector('.pulse.live')); // the stream of the page that signing in led to is not counted
    const streams = [];
    page.context().on('request', (r) => r.url().endsWith('/events') && streams.push(r.url()));
    await page.goto(`${origin}/console/access/history`);
    await settled(page);
    await until(page, () => document.querySelector('.pulse.live'));
    const other = await page.context().newPage();
    await other.goto(`${origin}/console/settings`);
    await settled(other);
    await until(other, () => document.querySelector('.pulse.live'));
    const before = await page.locator('.lines > li').count();
    const at = Date.now();
    await other.evaluate(async () => {
      const head = { 'X-Requested-With': 'openfunnel-console' };
      const { csrfToken } = await (await fetch('/api/v2/whoami', { headers: head })).json();
      const text = await (await fetch('/api/v2/tailnet/-/acl', { headers: head })).text();
      await fetch('/api/v2/tailnet/-/acl', { method: 'POST', headers: { ...head, 'X-Csrf-Token': csrfToken, 'Content-Type': 'application/hujson' }, body: `${text}// once more\n` });
    });
    await until(page, (n) => document.querySelectorAll('.lines > li').length > n, before);
    shown.liveMs = Date.now() - at;
    shown.streams = streams.length;
    // The tab that listened goes; the other takes over.
    await page.goto(`${origin}/account`);
    for (let i = 0; i < 100 && streams.length < 2; i++) await other.waitForTimeout(50);
    shown.takenOver = streams.length;
    await other.close();
  },
  async approve(page) {
    await page.goto(`${origin}/console/requests`);
    await settled(page);
    await tabTo(page, 'Look and decide');
    await press(page, 'Enter');
    await page.waitForURL('**/f/*');
    await page.waitForSelector('h1');
    const match = () => page.evaluate(() => ({ focus: document.activeElement.name, value: document.querySelector('input[name=match]:checked')?.value }));
    for (let i = 0; i < 40 && (await match()).focus !== 'match'; i++) await press(page, 'Tab');
    await press(page, 'Space');
    for (let i = 0; i < 3 && (await match()).value !== code; i++) await press(page, 'ArrowDown');
    await page.waitForTimeout(900); // the button wakes up after 700 ms of being seen
    await tabTo(page, 'Approve');
    await press(page, 'Enter');
    await page.waitForSelector('#outcome');
    shown.outcome = await page.locator('#outcome').innerText();
    await page.goto(`${origin}/console/requests`);
    await settled(page);
    shown.left = await page.locator('.card').innerText();
  },
  async quick(page) {
    const cdp = await page.context().newCDPSession(page);
    await cdp.send('Performance.enable', { timeDomain: 'threadTicks' });
    const spent = async () => (await cdp.send('Performance.getMetrics')).metrics.find((m) => m.name === 'TaskDuration').value * 1000;
    shown.quickMs = [];
    shown.workMs = [];
    for (let i = 0; i < 5; i++) {
      await page.goto('about:blank');
      const before = await spent();
      await page.goto(`${origin}/console/funnels`, { waitUntil: 'commit' });
      await page.waitForSelector('.list tbody tr a');
      shown.quickMs.push(await page.evaluate(() => performance.now()));
      shown.workMs.push((await spent()) - before);
    }
  },
  async german(page) {
    await page.goto(`${origin}/console/`);
    await settled(page);
    await page.locator('.who select').selectOption('de');
    await until(page, () => document.documentElement.lang === 'de' && document.querySelector('h1')?.textContent === 'Überblick');
    await page.screenshot({ path: `${out}/console-german.png`, fullPage: true });
    shown.german = await page.locator('.side nav').innerText();
    await page.locator('.who select').selectOption('en');
    await until(page, () => document.documentElement.lang === 'en');
  },
  async longer(page) {
    // A language half as long again, and one that runs the other way: nothing is cut off.
    await page.route('**/assets/en-*.js', async (route) => {
      const answer = await route.fetch();
      const body = (await answer.text()).replace(/:"((?:[^"\\]|\\.)+)"/g, (_, x) => `:"[${x.replace(/[aeiou](?![^{]*\})/g, '$&$&')} ––]"`);
      await route.fulfill({ response: answer, body });
    });
    for (const dir of ['ltr', 'rtl']) {
      for (const path of ['', 'funnels', 'requests', 'machines', 'access', 'access/policy', 'users', 'users/keys', 'logs', 'settings']) {
        await page.setViewportSize({ width: 360, height: 780 });
        await page.goto(`${origin}/console/${path}`);
        await settled(page);
        await page.evaluate((d) => (document.documentElement.dir = d), dir);
        const cut = await page.evaluate(() => [...document.querySelectorAll('main h1, main h2, main p, main label, main button, main th, main .badge, main a')]
          .filter((e) => e.offsetParent && !e.closest('.away, .cut, .vt, thead') && !e.matches('.away, .cut') && (e.scrollWidth > e.clientWidth + 2 && getComputedStyle(e).display !== 'inline'))
          .map((e) => `${e.tagName}.${e.className} “${e.textContent.slice(0, 60)}”`));
        const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth + 1);
        if (cut.length || wide) shown.problems.push(`${path || 'overview'} (${dir}, longer texts): ${wide ? 'scrolls sideways; ' : ''}${cut.slice(0, 4).join(' | ')}`);
        if (path === 'access') await page.screenshot({ path: `${out}/console-longer-${dir}.png`, fullPage: true });
      }
    }
    await page.unroute('**/assets/en-*.js');
  },
};

try {
  const page = await open();
  await signIn(page);
  for (const name of what.split(',')) await doing[name](page);
  shown.refused = await page.evaluate(() => window.refused);
  console.log(JSON.stringify(shown));
} finally {
  await browser.close();
}
