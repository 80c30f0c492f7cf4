// The page of `weir dev` when the server goes away and comes back.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { open } from './lib/browser.mjs';
import { freePort, start } from './lib/weir.mjs';

const patience = 60_000; // ms for any condition

let weir;
let browser;
let page;
let banner;

before(async () => {
  weir = await start({ port: await freePort() });
  browser = await open();
  page = browser.page;
  banner = page.getByRole('alert');
  await page.goto(weir.url);
  await received(10);
});

after(async () => {
  await browser?.close();
  await weir?.stop();
});

// received waits until the fast reader of every card has so many messages, on a page that shows no banner.
const received = (least) => page.waitForFunction((n) => document.getElementById('lost').hidden
  && [...document.querySelectorAll('article .fast .count')].length === 6
  && [...document.querySelectorAll('article .fast .count')].every((e) => Number(e.textContent.replaceAll(',', '')) >= n),
least, { timeout: patience });

const stall = () => page.locator('#stall');
const ages = () => page.locator('.fast .age b').allTextContents();

test('a page with a server shows no banner', async () => {
  assert.equal(await banner.count(), 0);
  assert.equal(await stall().isEnabled(), true);
});

test('a server that hangs is told of, and so is its waking', async () => {
  weir.signal('SIGSTOP');
  try {
    await banner.filter({ hasText: 'Connection lost' }).waitFor({ timeout: patience });
  } finally {
    weir.signal('SIGCONT');
  }
  await banner.waitFor({ state: 'hidden', timeout: patience });
  await received(20);
  assert.equal(await stall().isEnabled(), true);
});

test('a server that is gone is told of: a banner, controls off, ages that stand', async () => {
  await weir.stop('SIGKILL');
  await banner.filter({ hasText: /Connection lost\..* shows what was at .* goes on by itself/ }).waitFor({ timeout: patience });
  assert.equal(await stall().isEnabled(), false);
  assert.equal(await page.locator('#rate').isEnabled(), false);
  const before = await ages();
  await page.evaluate(async () => { // more than one time of drawing
    for (let i = 0; i < 30; i += 1) await new Promise(requestAnimationFrame);
  });
  assert.deepEqual(await ages(), before);
});

test('the page goes on by itself when the server is back, with the new one\'s counts and curl line', async () => {
  const old = weir;
  weir = await start({ port: old.port });
  assert.equal(weir.url, old.url);
  await banner.waitFor({ state: 'hidden', timeout: patience });
  await received(10);
  await page.waitForFunction((curl) => document.getElementById('curl').textContent === curl, weir.curl, { timeout: patience });
  await stall().click();
  await page.waitForFunction(() => document.querySelector('[id="prices.drop-oldest"] [data-figure=overflow]'), null, { timeout: patience });
});
