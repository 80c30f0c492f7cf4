// Headless Chromium, with everything turned off that would look for a network.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

const patience = 60_000; // ms for anything the browser does

// open returns a page and what went wrong on it so far: console errors, exceptions, refused loads, CSP violations.
export async function open(options = {}) {
  const profile = await mkdtemp(join(tmpdir(), 'weir-page-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium', headless: true, args, timeout: patience,
    viewport: { width: 1280, height: 800 }, ...options,
  });
  context.setDefaultTimeout(patience);
  const page = context.pages()[0] ?? await context.newPage();
  const wrong = [];
  page.on('console', (m) => { if (['error', 'warning'].includes(m.type())) wrong.push(`console ${m.type()}: ${m.text()}`); });
  page.on('pageerror', (e) => wrong.push(`exception: ${e.message}`));
  page.on('response', (r) => { if (r.status() >= 400) wrong.push(`${r.status()} ${r.url()}`); });
  await page.exposeFunction('reportViolation', (text) => wrong.push(`CSP: ${text}`));
  await page.addInitScript(() => document.addEventListener('securitypolicyviolation',
    (e) => window.reportViolation(`${e.violatedDirective} ${e.blockedURI}`)));
  const close = async () => {
    await context.close();
    await rm(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }); // its processes may still write there
  };
  return { page, wrong, close };
}
