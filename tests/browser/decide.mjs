// decide.mjs URL approve|deny LOGIN PASSWORD SPKI OUT_DIR [nojs]: opens a consent page as a person would (login first),
// prints what it shows as JSON, takes pictures, decides, prints what it shows then.
import { chromium } from 'playwright-core';

const [url, action, login, password, spki, out, nojs] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', `--ignore-certificate-errors-spki-list=${spki}`],
});
try {
  const context = await browser.newContext({ javaScriptEnabled: nojs !== 'nojs', viewport: { width: 1100, height: 900 } });
  const page = await context.newPage();
  const problems = [];
  page.on('console', m => m.type() === 'error' && problems.push(m.text()));
  await page.goto(url);
  if (page.url().endsWith('/login')) {
    await page.fill('#login', login);
    await page.fill('#password', password);
    await page.keyboard.press('Enter');
    await page.waitForURL(url);
  }
  const text = async s => (await page.locator(s).first().innerText()).trim();
  const shown = {
    heading: await text('h1'), node: await text('#node'), user: await text('#user'), address: await text('#address'),
    match: await text('#match'), diff: await text('details[open] .diff'),
    checked: await page.locator('input[name=grant]:checked').getAttribute('value'),
    choices: await page.locator('input[name=grant]').count(),
  };
  await page.screenshot({ path: `${out}/consent-wide.png`, fullPage: true });
  await page.setViewportSize({ width: 390, height: 844 });
  shown.sideways = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth).catch(() => null);
  // Nothing stands out of its card's text column; a diff scrolls inside its frame.
  shown.outside = await page.evaluate(() => [...document.querySelectorAll('.card *')].filter(e => {
    const range = document.createRange(), card = e.closest('.card');
    range.selectNodeContents(e);
    const edge = card.getBoundingClientRect().right - parseFloat(getComputedStyle(card).paddingRight);
    return !e.closest('pre') && !e.querySelector('pre') && range.getBoundingClientRect().right > edge + 1;
  }).map(e => e.tagName)).catch(() => []);
  await page.screenshot({ path: `${out}/consent-phone.png`, fullPage: true });
  if (action === 'deny') {
    await page.fill('#reason', 'by the browser');
  }
  await page.locator(`#${action}`).click();
  await page.waitForSelector('#outcome');
  console.log(JSON.stringify({ ...shown, outcome: await text('#outcome'), problems }));
} finally {
  await browser.close();
}
