// protocol.md 1.8: how sessions end, and which reason the application is given.
import assert from 'node:assert/strict';
import { Polling } from './lib/raw.mjs';
import { RawWebSocket } from './lib/raw-websocket.mjs';
import { also, connect, fresh } from './lib/clients.mjs';
import { conform } from './lib/suite.mjs';
import { startServer } from './lib/target.mjs';

const server = await startServer();
const event = (...args) => `42${JSON.stringify(args)}`;

async function joined(Peer, t) {
  const peer = await Peer.open(t, server);
  peer.id = await peer.join();
  return peer;
}

async function assertReason(peer, reason) {
  assert.equal((await server.disconnected(peer.id)).reason, reason);
  await peer.gone();
}

// Noops only end a poll and may come anywhere.
async function packetsUntil(peer, last) {
  const packets = [];
  while (packets.at(-1) !== last) packets.push(await peer.packet());
  return packets.filter((packet) => packet !== '6');
}

conform('1.8 client close by POST: the pending GET gets a noop, the session is gone, transport close', async (t) => {
  const peer = await joined(Polling, t);
  const poll = await peer.begin();
  const mark = fresh('mark');
  await peer.post(event('mark', mark));
  await server.marked(mark);
  assert.equal((await peer.post('1')).text, 'ok');
  assert.equal((await poll.response).text, '6');
  await assertReason(peer, 'transport close');
});

conform('1.8 server close over polling: what is buffered, then 1', async (t) => {
  const peer = await joined(Polling, t);
  const mark = fresh('mark');
  await peer.post(event('echo', 'last words'), event('mark', mark), event('disconnect-me', true));
  await server.marked(mark);
  assert.deepEqual(await packetsUntil(peer, '1'), [event('echo', 'last words'), '41', '1']);
  await peer.gone();
});

conform('1.8 server close over polling while a GET is pending', async (t) => {
  const peer = await joined(Polling, t);
  const poll = await peer.begin();
  await peer.post(event('disconnect-me', true));
  peer.backlog = (await poll.response).packets;
  assert.deepEqual(await packetsUntil(peer, '1'), ['41', '1']);
  await peer.gone();
});

conform('1.8 server close over websocket waits for what is buffered', async (t) => {
  const ws = await joined(RawWebSocket, t);
  const big = 'x'.repeat(400_000);
  ws.send(event('echo', big));
  ws.send(event('disconnect-me', true));
  assert.equal(await ws.text(), event('echo', big));
  assert.equal(await ws.text(), '41');
  assert.equal(await ws.closed(), 1005);
  await ws.gone();
});

conform('1.8 client close of the websocket: transport close', async (t) => {
  const ws = await joined(RawWebSocket, t);
  ws.write({ op: 0x8 });
  await assertReason(ws, 'transport close');
});

conform('1.8 a websocket whose TCP ends without a close frame: transport close', async (t) => {
  const ws = await joined(RawWebSocket, t);
  ws.wire.socket.end();
  await assertReason(ws, 'transport close');
});

conform('1.8 a websocket whose TCP is reset: transport close or transport error', async (t) => {
  const ws = await joined(RawWebSocket, t);
  ws.wire.socket.resetAndDestroy();
  const { reason } = await server.disconnected(ws.id);
  assert.ok(['transport close', 'transport error'].includes(reason), reason);
  await ws.gone();
});

conform('1.8 a websocket that ends inside a frame: transport close or transport error', async (t) => {
  const ws = await joined(RawWebSocket, t);
  ws.wire.write(Buffer.from([0x81, 0xfe, 0x01]));
  ws.wire.socket.end();
  const { reason } = await server.disconnected(ws.id);
  assert.ok(['transport close', 'transport error'].includes(reason), reason);
});

conform('1.8 an Engine.IO protocol error: parse error', async (t) => {
  const ws = await joined(RawWebSocket, t);
  ws.send('zzz');
  await assertReason(ws, 'parse error');
});

for (const transport of ['polling', 'websocket']) {
  conform(`1.8 the stock client closes its connection: every namespace ends with transport close [${transport}]`, async (t) => {
    const socket = await connect(t, server, { transport });
    const chat = await also(socket, '/chat');
    const ids = [socket.id, chat.id];
    socket.io.engine.close();
    for (const id of ids) assert.equal((await server.disconnected(id)).reason, 'transport close');
  });
}
