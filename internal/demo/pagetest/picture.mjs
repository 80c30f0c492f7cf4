// Takes docs/images/dev-page.png: the page some seconds into a stall. `npm run picture`, with WEIR_BINARY set.
import { mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { open } from './lib/browser.mjs';
import { start } from './lib/weir.mjs';

const target = fileURLToPath(new URL('../../../docs/images/dev-page.png', import.meta.url));
const weir = await start();
const { page, close } = await open({ colorScheme: process.argv[2] === 'light' ? 'light' : 'dark' });
await page.goto(weir.url);
await page.waitForFunction(() => document.querySelectorAll('article').length === 5);
await page.waitForTimeout(2000);
await page.getByRole('button', { name: 'Stall it' }).click();
await fetch(weir.curl.match(/http:\S+$/)[0], {
  method: 'POST', headers: { 'Content-Type': 'application/json' }, body: weir.curl.match(/-d '([^']+)'/)[1],
});
await page.waitForTimeout(7000);
await mkdir(new URL('.', `file://${target}`), { recursive: true });
await page.screenshot({ path: target });
await close();
await weir.stop();
