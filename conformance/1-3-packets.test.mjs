// protocol.md 1.3: the Engine.IO packet types, right and wrong.
import assert from 'node:assert/strict';
import { Polling } from './lib/raw.mjs';
import { RawWebSocket } from './lib/raw-websocket.mjs';
import { conform, weirOnly } from './lib/suite.mjs';
import { startServer } from './lib/target.mjs';

const server = await startServer();

conform('1.3 a ping from the client closes the session: transport error [websocket]', async (t) => {
  const ws = await RawWebSocket.open(t, server);
  const id = await ws.join();
  ws.send('2');
  await ws.closed();
  assert.equal((await server.disconnected(id)).reason, 'transport error');
});

conform('1.3 a ping from the client closes the session: transport error [polling]', async (t) => {
  const polling = await Polling.open(t, server);
  const id = await polling.join();
  await polling.post('2');
  assert.equal((await server.disconnected(id)).reason, 'transport error');
  await polling.gone();
});

for (const [name, packet] of [['7', '7'], ['9hello', '9hello'], ['x', 'x'], ['a space', ' 4'], ['an empty frame', '']]) {
  conform(`1.3 a packet of no known type closes the session: parse error (${name})`, async (t) => {
    const ws = await RawWebSocket.open(t, server);
    const id = await ws.join();
    ws.send(packet);
    await ws.closed();
    assert.equal((await server.disconnected(id)).reason, 'parse error');
    await ws.gone();
  });
}

conform('1.3 a stray upgrade, noop or pong on an established websocket is ignored', async (t) => {
  const ws = await RawWebSocket.open(t, server);
  await ws.join();
  for (const stray of ['5', '6', '3', '3probe']) ws.send(stray);
  ws.send('42["echo","still here"]');
  assert.equal(await ws.text(), '42["echo","still here"]');
});

conform('1.3 close over polling ends the session', async (t) => {
  const polling = await Polling.open(t, server);
  const id = await polling.join();
  await polling.post('1');
  assert.equal((await server.disconnected(id)).reason, 'transport close');
  await polling.gone();
});

weirOnly('1.3 close over websocket ends the session', async (t) => {
  const ws = await RawWebSocket.open(t, server);
  const id = await ws.join();
  ws.send('1');
  await ws.closed();
  assert.equal((await server.disconnected(id)).reason, 'transport close');
});

conform('1.3 a binary frame carries no type byte, a text message does', async (t) => {
  const ws = await RawWebSocket.open(t, server);
  await ws.join();
  ws.send('451-["echo",{"_placeholder":true,"num":0}]');
  ws.sendBytes(Buffer.from([4, 0, 255]));
  assert.equal(await ws.message(), '451-["echo",{"_placeholder":true,"num":0}]');
  assert.deepEqual(await ws.message(), Buffer.from([4, 0, 255]));
});
