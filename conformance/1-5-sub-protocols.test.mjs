// protocol.md 1.4, 1.5: base64 in every form that clients in the field write, and sub-protocols in Node and Chromium.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import http from 'node:http';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { once } from 'node:events';
import { ask, connect } from './lib/clients.mjs';
import { Polling } from './lib/raw.mjs';
import { RawWebSocket } from './lib/raw-websocket.mjs';
import { conform, transports } from './lib/suite.mjs';
import { startServer } from './lib/target.mjs';
import { deadline } from './lib/wait.mjs';

const [server, open] = await Promise.all([startServer(), startServer({ cors: { origin: '*' } })]);
const header = (name) => `451-["${name}",{"_placeholder":true,"num":0}]`;

/** The base64 of the official Java and Android client: a line break every 76 characters and at the end. */
const java = (bytes) => bytes.toString('base64').replace(/.{1,76}/g, '$&\n');

async function echoed(peer, text, bytes) {
  assert.equal((await peer.post(header('echo'), `b${text}`)).text, 'ok');
  assert.equal(await peer.packet(), header('echo'));
  assert.equal(await peer.packet(), `b${bytes.toString('base64')}`);
}

conform('1.4 base64 is read as the Java client writes it, and in other forms met', async (t) => {
  const bytes = Buffer.from(Array.from({ length: 200 }, (_, i) => i));
  const url = Buffer.from('ff8ffe', 'hex');
  for (const [text, want] of [
    [java(bytes), bytes],
    [java(bytes).replaceAll('\n', '\r\n'), bytes],
    ['AQIDBA==\n', Buffer.from([1, 2, 3, 4])],
    ['AQIDBA', Buffer.from([1, 2, 3, 4])], // no padding
    [url.toString('base64url'), url],
  ]) {
    const peer = await Polling.open(t, server);
    await peer.join();
    await echoed(peer, text, want);
  }
});

conform('1.4 base64 with line breaks in a text frame of a websocket', async (t) => {
  const ws = await RawWebSocket.open(t, server);
  ws.send('40');
  assert.match(await ws.text(), /^40/);
  ws.send(header('echo'));
  ws.send('bAQIDBA==\r\n');
  assert.equal(await ws.text(), header('echo'));
});

for (const transport of transports) {
  conform(`1.5 the client option protocols connects in Node [${transport}]`, async (t) => {
    const socket = await connect(t, server, { transport, protocols: ['access_token', 'abc'] });
    assert.equal(await ask(socket, 'ack', transport), transport);
    assert.equal(socket.io.engine.transport.name, transport === 'polling' ? 'polling' : 'websocket');
  });
}

/** Starts a program that ends with the test, and so do all that it has started: 'close' comes when the last of them has. */
function start(t, command, args) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const gone = once(child, 'close');
  let text = '';
  child.stdout.on('data', (chunk) => (text += chunk));
  child.stderr.on('data', (chunk) => (text += chunk));
  t.after(async () => {
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {} // it has ended
    await gone;
  });
  return { gone, said: () => text };
}

conform('1.5 a sub-protocol connects in Chromium, as WebSocket takes one', async (t) => {
  const told = Promise.withResolvers?.() ?? {};
  told.promise ??= new Promise((resolve) => (told.resolve = resolve));
  const page = `<script>
    const ws = new WebSocket('ws://127.0.0.1:${open.port}/socket.io/?EIO=4&transport=websocket', ['access_token', 'abc']);
    ws.onmessage = (e) => fetch('/told?' + ws.protocol + '+' + e.data[0]);
    ws.onclose = () => fetch('/told?closed');
  </script>`;
  const site = http.createServer((asked, answer) => {
    if (asked.url.startsWith('/told?')) told.resolve(asked.url.slice(6));
    answer.setHeader('Content-Type', 'text/html');
    answer.end(asked.url === '/' ? page : '');
  });
  site.listen(0, '127.0.0.1');
  await once(site, 'listening');
  const profile = mkdtempSync(path.join(tmpdir(), 'weir-chromium-'));
  t.after(() => {
    site.closeAllConnections();
    site.close();
  });
  const chromium = start(t, process.env.CHROMIUM || 'chromium', [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--remote-debugging-port=0',
    `--user-data-dir=${profile}`, `http://127.0.0.1:${site.address().port}/`,
  ]);
  t.after(() => rmSync(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }));
  const ended = chromium.gone.then(() => assert.fail(`chromium ended: ${chromium.said()}`));
  assert.equal(await deadline(Promise.race([told.promise, ended]), 'the page of Chromium', 40_000), 'access_token+0');
});
