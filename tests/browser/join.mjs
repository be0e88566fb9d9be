// join.mjs ORIGIN SPKI OUT_DIR INVITE_CODE LINK MATCH_CODE [nojs]: an invited person sets a password, opens the link that
// `funnel up` printed, picks the code of the terminal and approves. Prints what each page showed, as JSON.
import { chromium } from 'playwright-core';

const [origin, spki, out, invite, link, match, nojs] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', `--ignore-certificate-errors-spki-list=${spki}`],
});
try {
  const context = await browser.newContext({ javaScriptEnabled: nojs !== 'nojs', viewport: { width: 1100, height: 900 } });
  const page = await context.newPage();
  const shown = { problems: [] };
  page.on('console', (m) => m.type() === 'error' && shown.problems.push(m.text()));
  page.on('pageerror', (e) => shown.problems.push(String(e)));
  const text = async (s) => (await page.locator(s).first().innerText()).trim();

  await page.goto(`${origin}/setup#${invite}`);
  if (nojs === 'nojs') await page.fill('#code', invite);
  shown.filled = await page.inputValue('#code');
  await page.fill('#password', 'a phrase for the browser');
  await page.getByRole('button', { name: 'Set password and sign in' }).click();
  await page.waitForSelector('.codes');
  shown.recovery = await page.locator('.codes code').count();

  await page.goto(link);
  shown.heading = await text('h1');
  shown.host = await text('#host');
  shown.os = await text('#os');
  shown.address = await text('#address');
  shown.codes = await page.locator('input[name=code]').evaluateAll((all) => all.map((i) => i.value));
  shown.checked = await page.locator('input[name=code]:checked').count();
  await page.screenshot({ path: `${out}/join-wide.png`, fullPage: true });
  await page.setViewportSize({ width: 390, height: 844 });
  if (nojs !== 'nojs') shown.sideways = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
  await page.screenshot({ path: `${out}/join-phone.png`, fullPage: true });
  await page.locator(`input[name=code][value="${match}"]`).check();
  await page.locator('#approve').click();
  await page.waitForSelector('#outcome');
  shown.outcome = await text('#outcome');
  console.log(JSON.stringify(shown));
} finally {
  await browser.close();
}
