// The page of `weir bench report --html`, opened from a file: what a reader sees, and that it asks for nothing. The
// runs are the samples under internal/loadtest/report/testdata.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { open } from './lib/browser.mjs';

const sample = (name) => fileURLToPath(new URL(`../../../../../internal/loadtest/report/testdata/${name}.json`, import.meta.url));

let folder;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weir-report-'));
});

after(async () => {
  await rm(folder, { recursive: true, force: true });
});

// report makes the page of some samples and opens it; asked is what it loaded besides itself.
async function report(names, options) {
  const binary = process.env.WEIR_BINARY;
  if (!binary) throw new Error('WEIR_BINARY is not set: make page builds the binary and sets it');
  const file = join(folder, `${names.join('-')}.html`);
  await promisify(execFile)(binary, ['bench', 'report', ...names.map(sample), '--html', file]);
  const browser = await open(options);
  const url = pathToFileURL(file).href;
  const asked = [];
  browser.page.on('request', (r) => { if (r.url() !== url) asked.push(r.url()); });
  await browser.page.goto(url);
  return { ...browser, asked };
}

// drawn tells of each canvas how many pixels are not blank, and in how many colours.
const drawn = (page) => page.evaluate(async () => {
  await new Promise(requestAnimationFrame); // uPlot draws in a microtask
  return [...document.querySelectorAll('.plot canvas')].map((canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const colours = new Set();
    let pixels = 0;
    for (let i = 0; i < data.length; i += 4) {
      if (data[i + 3] === 0) continue;
      pixels++;
      if (data[i + 3] === 255) colours.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
    }
    return { pixels, colours: [...colours] };
  });
});

// variable is a colour of the page's style as drawn gives it.
const variable = (page, name) => page.evaluate((n) => (
  parseInt(getComputedStyle(document.documentElement).getPropertyValue(n).trim().slice(1), 16)), name);

function assertDrawn(charts, count) {
  assert.equal(charts.length, count);
  for (const [i, c] of charts.entries()) assert.ok(c.pixels > 1000, `chart ${i} has ${c.pixels} pixels`);
}

// rows reads a table as [name, cell…] lines.
const rows = (page, id) => page.locator(`#${id} tbody tr`).evaluateAll((list) => (
  list.map((tr) => [...tr.children].map((c) => c.innerText.replace(/\s+/g, ' ').trim()))));

test('one run: six charts, its lines in different colours, the figures in tables', async () => {
  const { page, wrong, asked, close } = await report(['fanout']);
  try {
    const charts = await drawn(page);
    assertDrawn(charts, 6);
    for (const name of ['--c0', '--c1', '--c2']) {
      assert.ok(charts[0].colours.includes(await variable(page, name)), `latency over time has no line in ${name}`);
    }
    assert.deepEqual(await page.locator('figcaption').allInnerTexts(),
      ['Latency over time, ms', 'Latency by percentile, ms', 'Rates, /s', 'Memory, MiB', 'Clients', 'Server']);
    const figures = await rows(page, 'figures');
    assert.deepEqual(figures[0], ['fan-out', '1,263,417 deliveries/s']);
    assert.deepEqual(figures[1], ['server CPU user and system time of --pid 4711', '0.821 s per million deliveries']);
    assert.deepEqual((await rows(page, 'latencies'))[0],
      ['publish to client', '37,902,000', '4.30', '1.80', '4.32', '72.51', '138.24', '149.63']);
    assert.ok((await rows(page, 'counts')).some((r) => r.join() === 'attempts refused: http_503,12'));
    assert.deepEqual(asked, []);
    assert.deepEqual(wrong, []);
  } finally {
    await close();
  }
});

test('two runs: a colour for each, the ratio to the first, each chart with both lines', async () => {
  const { page, wrong, asked, close } = await report(['fanout', 'npm']);
  try {
    const charts = await drawn(page);
    assertDrawn(charts, 9);
    for (const name of ['--c0', '--c1']) {
      assert.ok(charts[0].colours.includes(await variable(page, name)), `p50 over time has no line in ${name}`);
    }
    assert.deepEqual(await page.locator('#figures thead th').allInnerTexts(), ['figure', 'fanout', 'npm']);
    assert.deepEqual((await rows(page, 'figures'))[0], ['fan-out', '1,263,417 deliveries/s', '72,104 deliveries/s 0.0571x']);
    assert.deepEqual(await page.locator('.verdicts .bad').allInnerTexts(), ['FAIL']);
    assert.deepEqual(asked, []);
    assert.deepEqual(wrong, []);
  } finally {
    await close();
  }
});

test('dark where the system asks for it, and light again on paper', async () => {
  const { page, wrong, close } = await report(['fanout'], { colorScheme: 'dark' });
  try {
    const dark = await variable(page, '--c0');
    assert.ok((await drawn(page))[0].colours.includes(dark), 'the dark line is not drawn');
    await page.emulateMedia({ colorScheme: 'light' });
    const light = await variable(page, '--c0');
    assert.notEqual(light, dark);
    assert.ok((await drawn(page))[0].colours.includes(light), 'the line is not drawn again in light');
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.evaluate(() => dispatchEvent(new Event('beforeprint')));
    const paper = await drawn(page);
    assertDrawn(paper, 6);
    assert.ok(paper[0].colours.includes(light), 'the line is not drawn in light for paper');
    assert.deepEqual(wrong, []);
  } finally {
    await close();
  }
});

test('each chart has its numbers in words, and a phone shows all without scrolling sideways', async () => {
  const { page, wrong, close } = await report(['fanout', 'npm'], { viewport: { width: 390, height: 844 } });
  try {
    for (const label of await page.locator('.plot').evaluateAll((list) => list.map((e) => e.getAttribute('aria-label')))) {
      assert.match(label, /: .+ from .+ to /);
    }
    const memory = page.locator('figure', { hasText: 'Memory: server RSS' });
    await memory.locator('summary').click();
    assert.deepEqual(await memory.locator('details tbody th').allInnerTexts(), ['fanout', 'npm']);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 390, `the page is ${width} wide`);
    assert.deepEqual(wrong, []);
  } finally {
    await close();
  }
});
