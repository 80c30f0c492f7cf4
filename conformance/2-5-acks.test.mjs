// protocol.md 2.5: acknowledgements in both directions.
import assert from 'node:assert/strict';
import { ask, barrier, connect, connected, fresh, socketOf } from './lib/clients.mjs';
import { RawWebSocket } from './lib/raw-websocket.mjs';
import { conform, overTransports, weirOnly } from './lib/suite.mjs';
import { startServer } from './lib/target.mjs';
import { deadline, eventually, next } from './lib/wait.mjs';

const server = await startServer();

overTransports('2.5 client to server: the answer carries its arguments', async (t, transport) => {
  const socket = await connect(t, server, { transport });
  const answered = new Promise((resolve) => socket.emit('ack', 1, 'two', { three: [3] }, (...args) => resolve(args)));
  assert.deepEqual(await deadline(answered, 'ack'), [1, 'two', { three: [3] }]);
});

overTransports('2.5 client to server: many at once are answered each to its own', async (t, transport) => {
  const socket = await connect(t, server, { transport });
  const numbers = Array.from({ length: 100 }, (_, n) => n);
  assert.deepEqual(await Promise.all(numbers.map((n) => ask(socket, 'ack', n))), numbers);
});

conform('2.5 client to server: a second answer is not sent', async (t) => {
  const ws = await RawWebSocket.open(t, server);
  await ws.join();
  ws.send('425["ack-twice"]');
  ws.send('42["echo","behind"]');
  assert.equal(await ws.text(), '435[1]');
  assert.equal(await ws.text(), '42["echo","behind"]');
});

overTransports('2.5 server to client: the answer reaches the server', async (t, transport) => {
  const socket = await connect(t, server, { transport });
  socket.on('question', (n, reply) => reply(n + 1, Buffer.from([n])));
  const answer = next(socket, 'answer');
  socket.emit('server-ack', { timeout: 9_000 }, 41);
  const [{ value }] = await answer;
  assert.equal(value[0], 42);
  assert.deepEqual([...value[1]], [41]);
});

conform('2.5 server to client: a timeout is reported, and the late answer ignored', async (t) => {
  const socket = await connect(t, server);
  let late;
  socket.on('question', (reply) => (late = reply));
  const answers = [];
  socket.on('answer', (answer) => answers.push(answer));
  const answer = next(socket, 'answer');
  socket.emit('server-ack', { timeout: 50 });
  assert.deepEqual(await answer, [{ err: 'timeout' }]);
  late('too late');
  await barrier(socket);
  assert.deepEqual(answers, [{ err: 'timeout' }]);
});

conform('2.5 server to client: only the first answer to an id counts', async (t) => {
  const ws = await RawWebSocket.open(t, server);
  await ws.join();
  ws.send('42["server-ack",{"timeout":9000}]');
  const [, id] = /^42(\d+)\["question"\]$/.exec(await ws.text());
  ws.send(`43${id}["first"]`);
  ws.send(`43${id}["second"]`);
  assert.equal(await ws.text(), '42["answer",{"value":["first"]}]');
  ws.send('42["echo",1]');
  assert.equal(await ws.text(), '42["echo",1]');
});

conform('2.5 server to client: an answer from another namespace or another client does not count', async (t) => {
  const [ws, stranger] = [await RawWebSocket.open(t, server), await RawWebSocket.open(t, server)];
  await ws.join();
  await ws.join('/chat');
  await stranger.join();
  ws.send('42["server-ack",{"timeout":9000}]');
  const [, id] = /^42(\d+)\["question"\]$/.exec(await ws.text());
  ws.send(`43/chat,${id}["wrong namespace"]`);
  stranger.send(`43${id}["wrong client"]`);
  stranger.send('42["echo",1]');
  assert.equal(await stranger.text(), '42["echo",1]');
  ws.send(`43${id}["right"]`);
  assert.equal(await ws.text(), '42["answer",{"value":["right"]}]');
});

overTransports('2.5 a client with retries sends the same event again, with a new ack id', async (t, transport) => {
  const socket = socketOf(t, server, { transport, retries: 5, ackTimeout: 200 });
  const ids = [];
  socket.io.on('open', () => {
    socket.io.engine.on('packetCreate', ({ data }) => {
      const match = /^2(\d+)\["ack-on"/.exec(data ?? '');
      if (match) ids.push(match[1]);
    });
  });
  await connected(socket);
  const key = fresh('retry');
  const answered = new Promise((resolve, reject) => {
    socket.emit('ack-on', { key, nth: 3 }, (error, count) => (error ? reject(error) : resolve(count)));
  });
  assert.ok((await deadline(answered, 'ack of the third sending')) >= 3); // more if the machine is slow
  assert.ok(new Set(ids).size >= 3, ids.join());
});

overTransports('2.5 broadcast with acks collects one answer per client', async (t, transport) => {
  const room = fresh('room');
  const sockets = [];
  for (let n = 0; n < 3; n += 1) {
    const socket = await connect(t, server, { transport });
    socket.on('vote', (text, reply) => reply(`${text}-${n}`));
    await ask(socket, 'join', room);
    sockets.push(socket);
  }
  const result = await ask(sockets[0], 'broadcast-ack', { rooms: [room], event: 'vote', args: ['yes'], timeout: 9_000 });
  assert.equal(result.err, null);
  assert.deepEqual(result.responses.sort(), ['yes-0', 'yes-1', 'yes-2']);
});

conform('2.5 broadcast with acks uses one id for all', async (t) => {
  const room = fresh('room');
  const peers = [await RawWebSocket.open(t, server), await RawWebSocket.open(t, server)];
  for (const peer of peers) {
    await peer.join();
    peer.send(`421["join","${room}"]`);
    assert.equal(await peer.text(), '431[]');
  }
  const caller = await connect(t, server);
  const result = ask(caller, 'broadcast-ack', { rooms: [room], event: 'vote', args: [], timeout: 9_000 });
  const [one, two] = [await peers[0].text(), await peers[1].text()];
  assert.equal(one, two);
  const [, id] = /^42(\d+)\["vote"\]$/.exec(one);
  peers[0].send(`43${id}["a"]`);
  peers[1].send(`43${id}["b"]`);
  assert.deepEqual((await result).responses.sort(), ['a', 'b']);
});

conform('2.5 broadcast with acks: a timeout gives an error and the answers so far', async (t) => {
  const room = fresh('room');
  const [quick, mute] = [await connect(t, server), await connect(t, server)];
  for (const socket of [quick, mute]) await ask(socket, 'join', room);
  let late;
  quick.on('vote', (reply) => reply('quick'));
  mute.on('vote', (reply) => (late = reply));
  const result = await ask(quick, 'broadcast-ack', { rooms: [room], event: 'vote', args: [], timeout: 1_500 });
  assert.deepEqual(result, { err: 'timeout', responses: ['quick'] });
  late('forgotten');
  await barrier(mute);
  await barrier(quick);
});

conform('2.5 broadcast with acks to nobody resolves at once with no answers', async (t) => {
  const socket = await connect(t, server);
  const result = await ask(socket, 'broadcast-ack', { rooms: [fresh('empty')], event: 'vote', args: [], timeout: 3_600_000 });
  assert.deepEqual(result, { err: null, responses: [] });
});

overTransports('2.5 acks and events of a socket keep the order in which they were made', async (t, transport) => {
  const socket = await connect(t, server, { transport });
  const { id } = socket;
  const heard = [];
  socket.onAny((event) => heard.push(event));
  const gone = next(socket, 'disconnect');
  socket.emit('order', (word) => heard.push(word));
  assert.equal((await gone)[0], 'io server disconnect');
  assert.deepEqual(heard, ['a', 'ack', 'b']);
  await server.disconnected(id);
});

conform('2.5 on the wire: emit, ack, emit, disconnect', async (t) => {
  const ws = await RawWebSocket.open(t, server);
  await ws.join();
  ws.send('429["order"]');
  for (const packet of ['42["a"]', '439["ack"]', '42["b"]', '41']) assert.equal(await ws.text(), packet);
});

conform('2.5 an event that nothing handles is not acknowledged', async (t) => {
  const socket = await connect(t, server);
  let acknowledged = false;
  socket.emit('nobody-listens', 1, () => { acknowledged = true; });
  await barrier(socket);
  assert.equal(acknowledged, false);
});

weirOnly('2.5 weir:error tells of an event that nothing handles', async (t) => {
  const socket = await connect(t, server);
  const told = next(socket, 'weir:error');
  socket.emit('nobody-listens', 1, () => assert.fail('acknowledged'));
  const [error] = await told;
  assert.equal(error.ok, false);
  assert.equal(error.code, 'no_handler');
  assert.equal(error.event, 'nobody-listens');
});

conform('2.5 a handler set while the client connects misses no event', async (t) => {
  await Promise.all(Array.from({ length: 50 }, async () => {
    const socket = await connect(t, server, { namespace: '/steps' });
    assert.equal(await ask(socket, 'personal'), socket.id);
  }));
});

conform('2.5 an event that nothing handles and that asks for nothing is recorded and ignored', async (t) => {
  const socket = await connect(t, server);
  socket.emit('nobody-listens', 1);
  await barrier(socket);
  const seen = await eventually('catch-all record', async () => (await server.received(socket.id)).find((e) => e.event === 'nobody-listens'));
  assert.deepEqual(seen.args, [1]);
});
