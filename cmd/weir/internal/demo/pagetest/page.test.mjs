// The page of `weir dev`: what a viewer sees when the slow reader stalls. Everything is waited for by condition; no
// test says how long something takes.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { open } from './lib/browser.mjs';
import { start } from './lib/weir.mjs';

const patience = 60_000; // ms for any condition
const small = 1; // s: an age on loopback, on a machine that is busy

let weir;
let browser;
let page;

before(async () => {
  weir = await start();
  browser = await open();
  page = browser.page;
  await page.goto(weir.url);
});

after(async () => {
  await browser?.close();
  const left = await weir?.stop();
  if (left) assert.equal(left.code, 0, `weir dev after SIGTERM:\n${left.log}`);
});

// look reads a card as a viewer does.
const look = (topic) => page.evaluate((id) => {
  const card = document.getElementById(id);
  const number = (selector) => Number(card.querySelector(selector)?.textContent.replaceAll(',', '') ?? 0);
  return {
    fast: { received: number('.fast .count'), age: number('.fast .age b') },
    slow: { received: number('.slow .count'), age: number('.slow .age b') },
    depth: Number(card.querySelector('.bar').getAttribute('aria-valuenow')),
    filled: card.querySelectorAll('.bar .full').length,
    text: card.querySelector('.depth').textContent,
    overflow: number('[data-figure=overflow] b'),
    rejected: number('[data-figure=rejected] b'),
    coalesced: number('[data-figure=coalesced] b'),
    cuts: number('[data-figure=cuts] b'),
    disk: card.querySelector('.disk').textContent,
    spilled: Number(card.querySelector('.disk').textContent.match(/[\d,]+/)?.[0].replaceAll(',', '') ?? 0),
    lost: [...card.querySelector('.lost').childNodes].map((n) => n.textContent),
  };
}, topic);

// until waits for a card to look as wanted; NaN, an age not shown yet, is never as wanted.
async function until(topic, wanted, what) {
  const end = Date.now() + patience;
  for (;;) {
    const seen = await look(topic);
    if (wanted(seen)) return seen;
    if (Date.now() > end) assert.fail(`${topic} never came to ${what}: ${JSON.stringify(seen)}`);
    await page.evaluate(() => new Promise(requestAnimationFrame));
  }
}

test('three lines: the page, the address for clients, a curl command', () => {
  assert.equal(weir.lines.length, 3);
  assert.match(weir.url, /^http:\/\/127\.0\.0\.1:\d+\/$/);
  assert.equal(weir.clients, `${weir.url}feed`);
  assert.match(weir.curl, /^curl /);
});

test('six cards, one per overflow action, each with a fast and a slow reader', async () => {
  await page.waitForFunction(() => document.querySelectorAll('article').length === 6);
  assert.deepEqual(await page.locator('h2').allTextContents(),
    ['DROP_OLDEST', 'REJECT_NEW', 'COALESCE', 'SNAPSHOT_ONLY', 'DISCONNECT', 'SPILL_TO_DISK']);
  for (const id of await page.locator('article').evaluateAll((list) => list.map((e) => e.id))) {
    await until(id, (c) => c.fast.received > 0 && c.slow.age > 0, 'values for both readers');
  }
});

test('1280 by 800 needs no scrolling', async () => {
  const { height, width } = await page.evaluate(() => (
    { height: document.documentElement.scrollHeight, width: document.documentElement.scrollWidth }));
  assert.ok(height <= 800 && width <= 1280, `the page is ${width} by ${height}`);
});

// A legend is what a screen reader reads before the figures, and what the phone shows above them.
const legends = ['Fast reader this browser · age of its newest', 'Slow reader a Go client · age of its newest',
  'What Weir holds for the slow reader a lane of at most 16 messages'];

test('every figure has its legend: for screen readers everywhere, for eyes above it on a phone', async () => {
  for (const [viewport, shown] of [[{ width: 1280, height: 800 }, 0], [{ width: 390, height: 844 }, 1]]) {
    await page.setViewportSize(viewport);
    for (const card of await page.locator('article').all()) {
      assert.deepEqual(await card.locator('.legend').allTextContents(), legends);
      for (const legend of await card.locator('.legend').all()) {
        assert.equal(await legend.getAttribute('aria-hidden'), null);
        const box = await legend.boundingBox();
        assert.equal(box.height > 2 && box.width > 2, shown === 1, `${viewport.width} wide: a legend of ${JSON.stringify(box)}`);
      }
    }
    assert.equal(await page.locator('.head').isVisible(), shown === 0);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${viewport.width}: wider than the screen`);
  }
});

test('the curl line is there as a whole at every width', async () => {
  for (const width of [1280, 1000, 768, 390, 320]) {
    await page.setViewportSize({ width, height: 800 });
    const cut = await page.evaluate(() => {
      const code = document.getElementById('curl');
      const box = code.getBoundingClientRect();
      const text = document.createRange();
      text.selectNodeContents(code);
      return [...text.getClientRects()].some((r) => r.left < box.left || r.right > box.right || r.bottom > box.bottom)
        || box.right > innerWidth;
    });
    assert.equal(cut, false, `${width} wide: the curl line is cut off`);
  }
  await page.setViewportSize({ width: 1280, height: 800 });
});

test('Copy copies the curl line', async () => {
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.getByRole('button', { name: 'Copy' }).click();
  await page.getByRole('button', { name: 'Copied' }).waitFor({ timeout: patience });
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), weir.curl);
});

test('what to do next: links to guides that exist', async () => {
  const links = await page.getByRole('navigation', { name: 'What next' }).getByRole('link').evaluateAll((all) => all.map((a) => a.href));
  const guides = ['docs/guide/choosing-a-policy.md', 'docs/guide/clients.md', 'README.md#beside-your-application', 'docs/guide/embedding.md'];
  assert.deepEqual(links, guides.map((g) => `https://github.com/streamweir/weir/blob/main/${g}`));
  for (const guide of guides) {
    const [file, heading] = guide.split('#');
    const text = await readFile(new URL(`../../../../../${file}`, import.meta.url), 'utf8');
    if (heading) assert.ok(text.toLowerCase().includes(`\n## ${heading.replaceAll('-', ' ')}\n`), `${file} has no ${heading}`);
  }
});

test('a stalled DROP_OLDEST lane fills and drops while the fast reader goes on', async () => {
  await page.getByRole('button', { name: 'Stall it' }).click();
  await page.getByText('The slow reader is stalled').waitFor({ state: 'attached', timeout: patience });
  const full = await until('prices.drop-oldest', (c) => c.depth === 16 && c.overflow > 0, 'a full lane');
  assert.equal(full.filled, 16);
  assert.equal(full.text, '16/16');
  const later = await until('prices.drop-oldest',
    (c) => c.overflow >= full.overflow + 100 && c.fast.received >= full.fast.received + 100, 'a hundred drops and receipts more');
  assert.equal(later.depth, 16);
  const passed = later.slow.received - full.slow.received; // the state may be a moment old, and a read was under way
  assert.ok(passed <= 10, `a stalled reader has read ${passed} messages on`);
  await until('prices.drop-oldest', (c) => c.fast.age < small && c.slow.age > c.fast.age, 'a fresh fast reader');
});

test('the other actions act as their cards say', async () => {
  await until('prices.reject-new', (c) => c.depth === 16 && c.rejected > 0, 'rejections');
  await until('prices.coalesce', (c) => c.depth === 16 && c.coalesced > 0 && c.overflow === 0, 'replacements and no drops');
  await until('prices.snapshot-only', (c) => c.depth <= 1 && c.coalesced > 0, 'one message');
  await until('prices.disconnect', (c) => c.depth === 0 && c.cuts > 0, 'a cut');
});

test('what SPILL_TO_DISK has no room for goes to disk, message by message, and nothing is lost', async () => {
  const full = await until('prices.spill-to-disk', (c) => c.depth >= 8 && c.spilled > 0, 'messages on disk');
  const later = await until('prices.spill-to-disk',
    (c) => c.spilled >= full.spilled + 100 && c.fast.received >= full.fast.received + 100, 'a hundred more on disk and read by the fast one');
  assert.match(later.disk, /^[\d,]+ on disk, [\d.]+ [KM]iB$/);
  assert.deepEqual(later.lost, ['nothing lost', 'every price so far, in order']);
});

test('a reader that reads again sees fresh prices', async () => {
  await page.getByRole('button', { name: 'Let it read' }).click();
  const slider = page.getByRole('slider', { name: 'The slow reader reads' });
  await slider.focus();
  await page.keyboard.press('End');
  await page.waitForFunction(() => document.getElementById('rate-text').textContent === 'full speed');
  for (const topic of ['prices.drop-oldest', 'prices.reject-new', 'prices.coalesce', 'prices.snapshot-only', 'prices.spill-to-disk']) {
    await until(topic, (c) => c.slow.age < small && c.depth < 16, 'a small age and an empty lane');
  }
});

test('the reader that spilled has caught up: nothing on disk, every price in order, as many as the fast one', async () => {
  const c = await until('prices.spill-to-disk', (seen) => seen.disk === '' && seen.slow.received >= seen.fast.received - 10, 'all that the fast one has');
  assert.deepEqual(c.lost, ['nothing lost', 'every price so far, in order']);
  const other = await look('prices.drop-oldest');
  assert.ok(other.slow.received + 100 < c.slow.received, `DROP_OLDEST gave its slow reader ${other.slow.received} of ${c.slow.received}`);
});

test('the curl command publishes when pasted into a shell, and the page shows it', async () => {
  assert.equal(await page.locator('#curl').textContent(), weir.curl);
  const body = JSON.parse(weir.curl.match(/-d '([^']+)'/)[1]);
  const shown = page.locator('#hello-text');
  const hasCurl = await promisify(execFile)('curl', ['--version']).then(() => true, () => false);
  if (hasCurl) {
    await promisify(execFile)('sh', ['-c', weir.curl]);
    await shown.filter({ hasText: body.payload }).waitFor({ timeout: patience });
  }
  const url = weir.curl.match(/http:\S+$/)[0];
  const answer = await fetch(url, {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ ...body, payload: 'posted' }),
  });
  assert.equal(answer.status, 200);
  await shown.filter({ hasText: 'posted' }).waitFor({ timeout: patience });
});

test('the page does everything under its policy and without an error', () => {
  assert.deepEqual(browser.wrong, []);
});
