// protocol.md 3.3, SPILL_TO_DISK: a real client that stalls, on a topic whose messages wait on disk for it. The reference has no
// topics, so this is Weir's alone.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after } from 'node:test';
import { ask, connect } from './lib/clients.mjs';
import { onWeir, startServer } from './lib/target.mjs';
import { weirOnly } from './lib/suite.mjs';
import { eventually } from './lib/wait.mjs';

const messages = 60_000;
const size = 1024; // bytes of a payload
const lane = 16;
const mostGrowth = 8 << 20;

const directory = onWeir ? mkdtempSync(path.join(tmpdir(), 'weir-spill-')) : undefined;
after(() => onWeir && rmSync(directory, { recursive: true, force: true }));
const topic = { overflowAction: 'SPILL_TO_DISK', maxQueuedMessagesPerClient: lane };
const server = onWeir
  ? await startServer({ journal: { path: directory }, namespaces: [{ path: '/feed', topics: [{ name: 'ticks', ...topic }] }] })
  : undefined;

/** The value of a metric without labels, or the sum of those with the labels given. */
async function metric(name, labels = '') {
  const text = await (await fetch(`http://127.0.0.1:${server.managementPort}/metrics`)).text();
  return text
    .split('\n')
    .filter((line) => line.startsWith(name) && line.includes(labels) && !line.startsWith('#'))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}

/** What the heap of the server had alive at its last collection: the next one comes at twice that. */
const alive = async () => (await metric('go_memstats_next_gc_bytes')) / 2;

async function publish(from, to) {
  const padding = 'x'.repeat(size - 20);
  const lines = [];
  for (let n = from; n < to; n++) lines.push(JSON.stringify({ namespace: '/feed', topic: 'ticks', payload: { n, padding } }));
  const response = await fetch(`http://127.0.0.1:${server.managementPort}/api/publish/batch`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/x-ndjson' },
    body: lines.join('\n'),
  });
  const answers = (await response.text()).trim().split('\n');
  assert.equal(answers.length, to - from);
  assert.ok(answers.every((line) => !line.includes('"error"')), answers.find((line) => line.includes('"error"')));
}

weirOnly('3.3 a client that stalls for 60,000 messages on a lane of 16 has all of them in order, and the server does not grow', async (t) => {
  const socket = await connect(t, server, { namespace: '/feed', transport: 'websocket' });
  assert.equal((await ask(socket, 'weir:subscribe', { topic: 'ticks' })).ok, true);
  const heard = [];
  socket.on('ticks', (payload) => heard.push(payload.n));
  await publish(0, 1000); // what a server that runs has, it has now
  await eventually('the first thousand', async () => heard.length === 1000);
  const before = await alive();
  const stream = socket.io.engine.transport.ws._socket;
  stream.pause();
  for (let n = 1000; n < messages; n += 1000) await publish(n, n + 1000);
  const grown = (await alive()) - before;
  assert.ok(grown < mostGrowth, `it grew by ${grown} bytes`);
  assert.ok(heard.length < messages / 2, 'the client did not stall');
  stream.resume();
  await eventually('all of them', async () => heard.length >= messages);
  assert.deepEqual(heard, Array.from({ length: messages }, (_, n) => n));
  assert.equal(await metric('weir_dropped_total', 'topic="ticks"'), 0);
});
