// guide/security.md: the official clients over TLS, while certificates come and go. The reference is not asked: what it
// does over TLS is Node's.
import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after } from 'node:test';
import tls from 'node:tls';
import { fileURLToPath } from 'node:url';
import { ask, connect, connected, refusal, socketOf } from './lib/clients.mjs';
import { overTransports, weirOnly } from './lib/suite.mjs';
import { onWeir, startServer } from './lib/target.mjs';
import { collect, eventually, next } from './lib/wait.mjs';

const pems = path.join(path.dirname(fileURLToPath(import.meta.url)), 'lib', 'tls');
const ca = readFileSync(path.join(pems, 'ca.crt'));
const dir = mkdtempSync(path.join(tmpdir(), 'weir-tls-'));
after(() => rmSync(dir, { recursive: true, force: true }));
const files = { cert: path.join(dir, 'tls.crt'), key: path.join(dir, 'tls.key') };

/** Puts a certificate and its key where the server looks for them. */
function place(name) {
  copyFileSync(path.join(pems, `${name}.crt`), files.cert);
  copyFileSync(path.join(pems, `${name}.key`), files.key);
}

place('one');
const server = onWeir ? await startServer({ tls: files, namespaces: [{ path: '/feed', topics: ['prices'] }] }) : undefined;

async function publish(payload) {
  const response = await fetch(`http://127.0.0.1:${server.managementPort}/api/publish`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ namespace: '/feed', topic: 'prices', payload }),
  });
  assert.equal(response.status, 200, await response.text());
}

/** The name in the certificate that the server presents to a newcomer. */
function presented() {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ port: server.port, host: '127.0.0.1', ca }, () => {
      resolve(socket.getPeerCertificate().subject.CN);
      socket.destroy();
    });
    socket.once('error', reject);
  });
}

overTransports('TLS: events, acks and attachments both ways', async (t, transport) => {
  const socket = await connect(t, server, { transport, ca });
  assert.deepEqual(await ask(socket, 'ack', 'a', 1), await ask(socket, 'ack', 'a', 1));
  const large = 'x'.repeat(200_000);
  const echoed = next(socket, 'echo');
  socket.emit('echo', large, Buffer.from([0, 1, 2]));
  const [text, bytes] = await echoed;
  assert.equal(text, large);
  assert.deepEqual(Buffer.from(bytes), Buffer.from([0, 1, 2]));
}, weirOnly);

overTransports('TLS: a topic', async (t, transport) => {
  const socket = await connect(t, server, { namespace: '/feed', transport, ca });
  await ask(socket, 'subscribe', { topic: 'prices' });
  const got = collect(socket, 'prices', 100);
  for (let i = 0; i < 100; i += 1) await publish({ i, pad: 'y'.repeat(1000) });
  assert.deepEqual((await got).map(([p]) => p.i), [...Array(100).keys()]);
}, weirOnly);

weirOnly('TLS: who does not know the authority is not connected', async (t) => {
  const error = await refusal(socketOf(t, server, { transport: 'websocket' }));
  assert.match(error.message, /error/);
});

weirOnly('TLS: a certificate is renewed, and nobody notices; a broken one changes nothing', async (t) => {
  const socket = await connect(t, server, { transport: 'websocket', ca });
  const polling = await connect(t, server, { transport: 'polling', ca });
  assert.equal(await presented(), 'one.example');
  place('two');
  await eventually('the new certificate is presented', async () => (await presented()) === 'two.example');
  writeFileSync(files.cert, 'nonsense');
  for (const s of [socket, polling]) {
    assert.ok(s.connected);
    await ask(s, 'ack', 'still here');
  }
  await connected(socketOf(t, server, { transport: 'websocket', ca }));
  assert.equal(await presented(), 'two.example');
});

weirOnly('TLS: HTTP in the clear is answered that this port speaks TLS', async () => {
  const response = await fetch(`http://127.0.0.1:${server.port}/socket.io/?EIO=4&transport=polling`);
  assert.equal(response.status, 400);
  assert.match(await response.text(), /HTTPS/);
});
