// What the console's browser tests share: a browser that notes what was refused, asked elsewhere or went wrong.
import { chromium } from 'playwright-core';

export async function openConsole(origin) {
  const shown = { problems: [], outside: [], screens: {} };
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-background-networking', '--disable-component-update'] });

  async function open() {
    const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, ignoreHTTPSErrors: true, locale: 'en-GB' });
    const page = await context.newPage();
    page.on('request', (r) => !r.url().startsWith(origin) && !r.url().startsWith('data:') && shown.outside.push(r.url()));
    // What the server does not have yet answers 404, which a page says in words; the browser's own console line is not a fault.
    page.on('console', (m) => m.type() === 'error' && !/status of 404/.test(m.text()) && shown.problems.push(`${page.url()}: ${m.text()}`));
    page.on('pageerror', (e) => shown.problems.push(`${page.url()}: ${e}`));
    await page.addInitScript(() => {
      window.refused = [];
      document.addEventListener('securitypolicyviolation', (e) => window.refused.push(`${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}`));
    });
    return page;
  }

  async function signIn(page) {
    await page.goto(`${origin}/`);
    await page.fill('#login', 'ann@example.com');
    await page.fill('#password', 'correct horse battery');
    await page.keyboard.press('Enter');
    await page.waitForURL('**/console/');
  }

  /** As waitForFunction, which the strict policy would refuse: it evaluates text inside the page. */
  async function until(page, fn, arg) {
    for (let i = 0; i < 200; i++) {
      if (await page.evaluate(fn, arg).catch(() => false)) return; // false while the page is being replaced
      await page.waitForTimeout(50);
    }
    throw new Error(`never: ${fn} on ${page.url()}`);
  }

  async function settled(page) {
    await page.waitForSelector('h1');
    await until(page, () => !document.querySelector('.loading') && [...document.querySelectorAll('.editor')].every((e) => e.shadowRoot));
  }

  return { browser, open, signIn, until, settled, shown };
}
