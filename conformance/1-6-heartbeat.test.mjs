// protocol.md 1.6: ping and pong. The servers beat fast; what is asserted is the order of events, never a time.
import assert from 'node:assert/strict';
import { ask, connect } from './lib/clients.mjs';
import { Polling } from './lib/raw.mjs';
import { RawWebSocket } from './lib/raw-websocket.mjs';
import { conform, overTransports, weirOnly } from './lib/suite.mjs';
import { startServer } from './lib/target.mjs';
import { collect } from './lib/wait.mjs';

const server = await startServer({ pingInterval: 200, pingTimeout: 1_000 });

conform('1.6 the server pings, a pong brings the next ping [websocket]', async (t) => {
  const ws = await RawWebSocket.open(t, server);
  await ws.join();
  for (let n = 0; n < 4; n += 1) {
    assert.equal(await ws.text(), '2');
    ws.send('3');
  }
  ws.send('42["echo",1]');
  assert.equal(await ws.text(), '42["echo",1]');
});

conform('1.6 the server pings, a pong brings the next ping [polling]', async (t) => {
  const peer = await Polling.open(t, server);
  await peer.join();
  for (let n = 0; n < 4; n += 1) {
    assert.equal(await peer.packet(), '2');
    await peer.post('3');
  }
  assert.ok(await peer.alive());
});

conform('1.6 a silent websocket is closed: ping timeout', async (t) => {
  const ws = await RawWebSocket.open(t, server);
  const id = await ws.join();
  assert.equal(await ws.text(), '2');
  await ws.closed();
  assert.equal((await server.disconnected(id)).reason, 'ping timeout');
  await ws.gone();
});

conform('1.6 a silent polling client is closed: ping timeout', async (t) => {
  const peer = await Polling.open(t, server);
  const id = await peer.join();
  assert.equal((await server.disconnected(id)).reason, 'ping timeout');
  await peer.gone();
});

conform('1.6 over polling the ping waits for a GET', async (t) => {
  const peer = await Polling.open(t, server);
  await peer.join();
  const other = await RawWebSocket.open(t, server);
  assert.equal(await other.text(), '2'); // its session is younger: the polling session has been pinged as well
  const response = await peer.get();
  assert.equal(response.text, '2');
});

overTransports('1.6 a stock client lives through many beats', async (t, transport) => {
  const socket = await connect(t, server, { transport });
  await collect(socket.io, 'ping', 6);
  assert.equal(await ask(socket, 'ack', 'alive'), 'alive');
  assert.equal(socket.connected, true);
});

weirOnly('1.6 a client that sends but does not pong stays alive', async (t) => {
  const chatty = await RawWebSocket.open(t, server);
  await chatty.join();
  const clock = await connect(t, server);
  const beats = collect(clock.io, 'ping', 12); // far more than pingInterval + pingTimeout
  let running = true;
  beats.finally(() => (running = false)).catch(() => {});
  for (let n = 0; running; n += 1) {
    chatty.send(`42["echo",${n}]`);
    while ((await chatty.text()) === '2'); // and no pong
    await new Promise(setImmediate);
  }
  await beats;
  assert.ok(await chatty.alive());
});
