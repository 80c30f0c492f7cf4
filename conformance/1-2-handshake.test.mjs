// protocol.md 1.2: the open packet and its response.
import assert from 'node:assert/strict';
import { ask, connect, engine } from './lib/clients.mjs';
import { enginePath, Polling, request } from './lib/raw.mjs';
import { RawWebSocket } from './lib/raw-websocket.mjs';
import { conform } from './lib/suite.mjs';
import { startServer } from './lib/target.mjs';
import { collect } from './lib/wait.mjs';

const [server, tuned, stay, pollingOnly] = await Promise.all([
  startServer(),
  startServer({ pingInterval: 12_345, pingTimeout: 6_789, maxHttpBufferSize: 1_000 }),
  startServer({ allowUpgrades: false }),
  startServer({ transports: ['polling'] }),
]);

const secret = /^[A-Za-z0-9_-]{20,}$/;
const handshake = enginePath({ EIO: 4, transport: 'polling' });

conform('1.2 the polling handshake: headers, and the keys in their order', async (t) => {
  const response = await request(t, server, { path: handshake });
  assert.equal(response.status, 200);
  assert.equal(response.headers['content-type'], 'text/plain; charset=UTF-8');
  assert.equal(response.headers['content-length'], String(response.body.length));
  assert.equal(response.headers['cache-control'], 'no-store');
  assert.equal(response.headers['set-cookie'], undefined);
  const { sid } = JSON.parse(response.text.slice(1));
  assert.match(sid, secret);
  const rest = '"upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000';
  assert.equal(response.text, `0{"sid":"${sid}",${rest}}`);
});

conform('1.2 options show in the open packet', async (t) => {
  const { open } = await Polling.open(t, tuned);
  assert.deepEqual({ ...open, sid: '' }, { sid: '', upgrades: ['websocket'], pingInterval: 12_345, pingTimeout: 6_789, maxPayload: 1_000 });
});

conform('1.2 upgrades is empty over websocket, without upgrades, and without a transport to upgrade to', async (t) => {
  assert.deepEqual((await RawWebSocket.open(t, server)).open.upgrades, []);
  assert.deepEqual((await Polling.open(t, stay)).open.upgrades, []);
  assert.deepEqual((await Polling.open(t, pollingOnly)).open.upgrades, []);
});

conform('1.2 over websocket the open packet is the first text frame', async (t) => {
  const ws = await RawWebSocket.dial(t, server);
  const first = await ws.frame();
  assert.equal(first.op, 1);
  assert.equal(first.fin, true);
  const { sid, ...rest } = JSON.parse(first.payload.toString().slice(1));
  assert.match(sid, secret);
  assert.deepEqual(rest, { upgrades: [], pingInterval: 25_000, pingTimeout: 20_000, maxPayload: 1_000_000 });
});

conform('1.2 every session has a sid of its own, and it is never the Socket.IO id', async (t) => {
  const [one, two] = [await RawWebSocket.open(t, server), await Polling.open(t, server)];
  const ids = [one.sid, two.sid, await one.join(), await two.join()];
  assert.equal(new Set(ids).size, ids.length);
});

conform('1.2 the engine.io-client opens over polling and over websocket', async (t) => {
  for (const transport of ['polling', 'websocket']) {
    const socket = await engine(t, server, { transports: [transport] });
    assert.match(socket.id, secret);
    assert.equal(socket.transport.name, transport);
  }
});

conform('1.2 a client that respects maxPayload by splitting its POSTs is never refused', async (t) => {
  const socket = await connect(t, tuned, { transport: 'polling' });
  const texts = Array.from({ length: 12 }, (_, n) => `${n}-${'x'.repeat(400)}`);
  const echoes = collect(socket, 'echo', texts.length);
  for (const text of texts) socket.emit('echo', text);
  assert.deepEqual((await echoes).flat(), texts);
  assert.equal(await ask(socket, 'ack', 1), 1);
});
