// Takes the pictures of the README from the page itself: docs/images/dev-page.png, the slow reader stalled for some
// seconds, and dev-page-after.png, some seconds after it reads again: the moment at which the policies differ.
// `npm run picture`, with WEIR_BINARY set; `npm run picture light` for light ones.
import { mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { open } from './lib/browser.mjs';
import { start } from './lib/weir.mjs';

const patience = 60_000; // ms for any condition
const images = new URL('../../../../../docs/images/', import.meta.url);
const weir = await start();
const { page, close } = await open({ colorScheme: process.argv[2] === 'light' ? 'light' : 'dark' });

const take = (name, options = {}) => page.screenshot({ path: fileURLToPath(new URL(name, images)), ...options });

// hold waits for ages, in s by topic (f for the fast reader's), as wanted names them, [least, most], and holds the page
// still there: what is seen from then on is a copy of it that nothing draws on. Taking a picture takes its time.
const hold = (wanted, patience) => page.evaluate(async ({ wanted, patience }) => {
  const age = (card, reader) => Number(card?.querySelector(`.${reader} .age b`).textContent);
  const as = ([name, [least, most]]) => {
    const card = document.getElementById(`prices.${name}`);
    return age(card, 'slow') >= least && age(card, 'slow') <= most && age(card, 'fast') < 0.1;
  };
  const end = performance.now() + patience;
  while (!Object.entries(wanted).every(as)) {
    if (performance.now() > end) throw new Error('the ages never were as wanted');
    await new Promise(requestAnimationFrame);
  }
  const live = document.body;
  live.replaceWith(live.cloneNode(true));
  window.goOn = () => document.body.replaceWith(live);
}, { wanted, patience });

const any = [0, 1000];
const old = [8, 1000];
const fresh = [0, 2.2];

try {
  await mkdir(images, { recursive: true });
  await page.goto(weir.url);
  await hold({ 'drop-oldest': [1.5, 1000], disconnect: any }, patience);
  await page.evaluate(() => window.goOn());
  await page.getByRole('button', { name: 'Stall it' }).click();
  await fetch(weir.curl.match(/http:\S+$/)[0], {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: weir.curl.match(/-d '([^']+)'/)[1],
  });
  await hold({ 'drop-oldest': old, 'reject-new': old, coalesce: old, 'snapshot-only': old, disconnect: old, 'spill-to-disk': old }, patience);
  await take('dev-page.png');
  await page.evaluate(() => window.goOn());
  await page.getByRole('button', { name: 'Let it read' }).click();
  await page.mouse.move(0, 0);
  await hold({ 'reject-new': old, 'spill-to-disk': old, 'drop-oldest': fresh, coalesce: fresh, 'snapshot-only': fresh, disconnect: any }, patience);
  const { y, height } = await page.locator('main').boundingBox();
  await take('dev-page-after.png', { clip: { x: 0, y: 0, width: 1280, height: Math.ceil(y + height) + 6 } });
} finally {
  await close();
  await weir.stop();
}
