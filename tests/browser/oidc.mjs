// oidc.mjs ORIGIN SPKIS OUT_DIR LOGIN…: signs in through the provider as each of the logins, in a browser of its own each, and
// prints for each the page that the person ends on.
import { chromium } from 'playwright-core';

const [origin, spkis, out, ...logins] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', `--ignore-certificate-errors-spki-list=${spkis}`],
});
try {
  const ends = {};
  for (const login of logins) {
    const context = await browser.newContext({ viewport: { width: 900, height: 700 } });
    const page = await context.newPage();
    await page.goto(`${origin}/account`);
    await page.getByRole('link', { name: 'Sign in with Example SSO' }).click();
    if (!page.url().startsWith(origin)) {
      await page.fill('input[name=login]', login);
      await page.fill('input[name=password]', 'anything');
      await page.keyboard.press('Enter');
      await page.waitForSelector('button:has-text("Continue")');
      await page.click('button:has-text("Continue")');
      await page.waitForURL(`${origin}/**`);
    }
    await page.waitForSelector('h1');
    ends[login] = { url: page.url(), heading: await page.locator('h1').first().innerText(), text: await page.locator('main').innerText() };
    await page.screenshot({ path: `${out}/oidc-${login.replace(/\W/g, '-')}.png` });
    await context.close();
  }
  console.log(JSON.stringify(ends));
} finally {
  await browser.close();
}
