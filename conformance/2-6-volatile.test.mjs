// protocol.md 2.6: volatile events are sent now or not at all.
import assert from 'node:assert/strict';
import { ask, barrier, connect, fresh } from './lib/clients.mjs';
import { Polling } from './lib/raw.mjs';
import { RawWebSocket } from './lib/raw-websocket.mjs';
import { conform, overTransports } from './lib/suite.mjs';
import { startServer } from './lib/target.mjs';
import { eventually, next } from './lib/wait.mjs';

const server = await startServer();
const event = (...args) => `42${JSON.stringify(args)}`;

overTransports('2.6 an idle client gets volatile events', async (t, transport) => {
  const socket = await connect(t, server, { transport });
  // Over polling a poll must be pending at that moment, which only the client's luck decides: it asks until it had some.
  let got;
  socket.on('now', (n) => (got = n));
  await eventually('volatile event', async () => {
    socket.emit('volatile', 'now', 7);
    await barrier(socket);
    return got !== undefined;
  });
  assert.equal(got, 7);
});

async function handled(peer, ...packets) {
  const mark = fresh(`mark-${peer.sid}`);
  await peer.post(...packets, event('mark', mark));
  await server.marked(mark);
}

conform('2.6 polling: delivered to a pending GET', async (t) => {
  const peer = await Polling.open(t, server);
  await peer.join();
  const poll = await peer.begin();
  await handled(peer);
  await peer.post(event('volatile', 'now', 1));
  assert.equal((await poll.response).text, event('now', 1));
});

conform('2.6 polling without a pending GET: dropped, not buffered', async (t) => {
  const peer = await Polling.open(t, server);
  await peer.join();
  await handled(peer, event('volatile', 'now', 1));
  await handled(peer, event('echo', 'kept'));
  assert.equal((await peer.get()).text, event('echo', 'kept'));
});

conform('2.6 polling: a volatile broadcast drops it for those that cannot take it', async (t) => {
  const [peer, speaker] = [await Polling.open(t, server), await connect(t, server)];
  const id = await peer.join();
  await ask(speaker, 'to', { rooms: [id], event: 'now', args: [], volatile: true });
  await handled(peer, event('echo', 'kept'));
  assert.equal((await peer.get()).text, event('echo', 'kept'));
});

conform('2.6 websocket: dropped while earlier events are still being written', async (t) => {
  const ws = await RawWebSocket.open(t, server);
  await ws.join();
  const [count, size] = [8, 100_000];
  ws.wire.socket.pause();
  const mark = fresh('mark');
  ws.send(event('volatile-behind', { count, size }));
  ws.send(event('mark', mark));
  await server.marked(mark);
  ws.wire.socket.resume();
  for (let n = 0; n < count; n += 1) assert.equal(await ws.text(), event('burst', 'x'.repeat(size)));
  ws.send(event('echo', 'then'));
  assert.equal(await ws.text(), event('echo', 'then'));
});

conform('2.6 a volatile event of the client, sent while it is not connected, never arrives', async (t) => {
  const socket = await connect(t, server);
  socket.disconnect();
  socket.volatile.emit('echo', 'lost');
  socket.emit('echo', 'buffered');
  const echoed = next(socket, 'echo');
  socket.connect();
  assert.deepEqual(await echoed, ['buffered']);
});
