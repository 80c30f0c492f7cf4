// protocol.md 2.7: rooms, broadcast operators, bulk operations, catch-all.
import assert from 'node:assert/strict';
import { also, ask, barrier, connect, fresh } from './lib/clients.mjs';
import { RawWebSocket } from './lib/raw-websocket.mjs';
import { conform, overTransports } from './lib/suite.mjs';
import { startServer } from './lib/target.mjs';
import { next } from './lib/wait.mjs';

const server = await startServer();

/** Clients a, b, c, … each in the rooms given, every one recording what it hears. */
async function crowd(t, transport, rooms) {
  const sockets = [];
  for (const own of rooms) {
    const socket = await connect(t, server, { transport });
    socket.heard = [];
    socket.on('news', (...args) => socket.heard.push(args));
    if (own.length > 0) await ask(socket, 'join', own);
    sockets.push(socket);
  }
  return sockets;
}

/** Who of the crowd heard the event exactly once, as indices; nobody may have heard it twice. */
async function listeners(sockets, args) {
  for (const socket of sockets) await barrier(socket);
  return sockets.flatMap((socket, n) => {
    assert.ok(socket.heard.length <= 1, `client ${n} heard it ${socket.heard.length} times`);
    if (socket.heard.length === 1) assert.deepEqual(socket.heard[0], args);
    return socket.heard.length === 1 ? [n] : [];
  });
}

const [x, y, z] = ['x', 'y', 'z'].map((letter) => `room-${letter}`);
const operators = {
  'one room, the sender included': [{ rooms: [x], self: true }, [0, 1]],
  'one room, the sender excluded': [{ rooms: [x] }, [1]],
  'a union of rooms reaches each socket once': [{ rooms: [x, y], self: true }, [0, 1, 2]],
  'except takes sockets out again': [{ rooms: [x, y], except: [y], self: true }, [0]],
  'except of several rooms': [{ rooms: [x, y, z], except: [x, z], self: true }, [2]],
  'local is the whole of one server': [{ rooms: [x], local: true, self: true }, [0, 1]],
  'compress(false) changes nothing for the client': [{ rooms: [x], compress: false, self: true }, [0, 1]],
  'an empty room reaches nobody': [{ rooms: ['room-nobody'], self: true }, []],
};
for (const [name, [call, want]] of Object.entries(operators)) {
  overTransports(`2.7 ${name}`, async (t, transport) => {
    const own = (room) => `${room}-${t.name}`;
    const renamed = { ...call, rooms: call.rooms.map(own), except: (call.except ?? []).map(own) };
    const sockets = await crowd(t, transport, [[x], [x, y], [y], [z]].map((rooms) => rooms.map(own)));
    const args = ['é', { n: 1 }];
    await ask(sockets[0], 'to', { ...renamed, event: 'news', args });
    assert.deepEqual(await listeners(sockets, args), want);
  });
}

overTransports('2.7 the room of a socket\'s own id always exists', async (t, transport) => {
  const sockets = await crowd(t, transport, [[], [], []]);
  assert.deepEqual(await ask(sockets[1], 'rooms'), [sockets[1].id]);
  await ask(sockets[0], 'to', { rooms: [sockets[1].id], event: 'news', args: [] });
  assert.deepEqual(await listeners(sockets, []), [1]);
});

overTransports('2.7 broadcast reaches the namespace but not the sender', async (t, transport) => {
  const sockets = await crowd(t, transport, [[], [], []]);
  sockets[0].emit('broadcast', 'news', 1);
  await barrier(sockets[0]);
  assert.deepEqual(await listeners(sockets, [1]), [1, 2]);
});

overTransports('2.7 a broadcast without rooms reaches everybody, its binary included', async (t, transport) => {
  const sockets = await crowd(t, transport, [[], []]);
  const arrived = sockets.map((socket) => next(socket, 'bytes'));
  await ask(sockets[0], 'to', { rooms: [], event: 'bytes', args: [{ deep: Buffer.from([1, 2]) }], self: true });
  for (const [{ deep }] of await Promise.all(arrived)) assert.deepEqual([...deep], [1, 2]);
});

conform('2.7 clients of different transports hear the same broadcast', async (t) => {
  const room = fresh('room');
  const sockets = [];
  for (const transport of ['polling', 'websocket', 'upgraded']) sockets.push(...(await crowd(t, transport, [[room]])));
  await ask(sockets[0], 'to', { rooms: [room], event: 'news', args: ['all'], self: true });
  assert.deepEqual(await listeners(sockets, ['all']), [0, 1, 2]);
});

conform('2.7 rooms belong to a namespace', async (t) => {
  const room = fresh('room');
  const root = await connect(t, server);
  const chat = await also(root, '/chat');
  await ask(root, 'join', room);
  assert.deepEqual(await ask(chat, 'fetch-sockets', { rooms: [room] }), []);
  assert.deepEqual(await ask(chat, 'rooms'), [chat.id]);
});

overTransports('2.7 join several, join twice, leave, leave what was never joined', async (t, transport) => {
  const socket = await connect(t, server, { transport });
  const [a, b] = [fresh('room-a'), fresh('room-b')];
  await ask(socket, 'join', [a, b]);
  await ask(socket, 'join', a);
  assert.deepEqual(await ask(socket, 'rooms'), [a, b, socket.id].sort());
  await ask(socket, 'leave', a);
  await ask(socket, 'leave', 'never joined');
  assert.deepEqual(await ask(socket, 'rooms'), [b, socket.id].sort());
});

conform('2.7 disconnecting still sees the rooms; after it they are left', async (t) => {
  const room = fresh('room');
  const [leaver, stayer] = [await connect(t, server), await connect(t, server)];
  const { id } = leaver;
  await ask(leaver, 'join', room);
  leaver.disconnect();
  const { rooms } = await server.disconnected(id);
  assert.deepEqual(rooms, [id, room].sort());
  assert.deepEqual(await ask(stayer, 'fetch-sockets', { rooms: [room] }), []);
  assert.deepEqual(await ask(stayer, 'fetch-sockets', { rooms: [id] }), []);
});

conform('2.7 fetchSockets lists ids and rooms', async (t) => {
  const room = fresh('room');
  const sockets = await crowd(t, 'websocket', [[room], [room, `${room}-more`], []]);
  const found = await ask(sockets[2], 'fetch-sockets', { rooms: [room] });
  const want = [
    { id: sockets[0].id, rooms: [sockets[0].id, room].sort() },
    { id: sockets[1].id, rooms: [sockets[1].id, room, `${room}-more`].sort() },
  ];
  assert.deepEqual(found, want.sort((p, q) => (p.id < q.id ? -1 : 1)));
  const without = await ask(sockets[2], 'fetch-sockets', { rooms: [room], except: [`${room}-more`] });
  assert.deepEqual(without.map(({ id }) => id), [sockets[0].id]);
});

conform('2.7 socketsJoin and socketsLeave move all of a room', async (t) => {
  const [room, other] = [fresh('room'), fresh('other')];
  const sockets = await crowd(t, 'websocket', [[room], [room], []]);
  await ask(sockets[2], 'sockets-join', { rooms: [room], join: [other] });
  assert.equal((await ask(sockets[2], 'fetch-sockets', { rooms: [other] })).length, 2);
  await ask(sockets[2], 'sockets-leave', { rooms: [other], leave: [room] });
  assert.deepEqual(await ask(sockets[2], 'fetch-sockets', { rooms: [room] }), []);
  assert.deepEqual(await ask(sockets[0], 'rooms'), [other, sockets[0].id].sort());
});

for (const close of [false, true]) {
  conform(`2.7 disconnectSockets(${close}) of a room`, async (t) => {
    const room = fresh('room');
    const [inside, outside] = await crowd(t, 'websocket', [[room], []]);
    const { id } = inside;
    const gone = next(inside, 'disconnect');
    const closed = close ? next(inside.io.engine, 'close') : Promise.resolve();
    await ask(outside, 'disconnect-sockets', { rooms: [room], close });
    assert.equal((await gone)[0], 'io server disconnect');
    await closed;
    assert.equal((await server.disconnected(id)).reason, 'server namespace disconnect');
    await barrier(outside);
  });
}

conform('2.7 broadcasts of one sender keep their order at every receiver', async (t) => {
  const room = fresh('room');
  const sockets = await crowd(t, 'websocket', [[room], [room], [room]]);
  for (let n = 0; n < 200; n += 1) sockets[0].emit('to', { rooms: [room], event: 'news', args: [n], self: true });
  for (const socket of [sockets[0], ...sockets]) await barrier(socket);
  for (const { heard } of sockets) assert.deepEqual(heard.flat(), Array.from({ length: 200 }, (_, n) => n));
});

conform('2.7 a broadcast is the same packet as an emit', async (t) => {
  const ws = await RawWebSocket.open(t, server);
  await ws.join('/chat');
  ws.send('42/chat,["to",{"rooms":[],"event":"news","args":["é",null],"self":true}]');
  assert.equal(await ws.text(), '42/chat,["news","é",null]');
});

conform('2.7 the catch-all listener sees every event with its arguments', async (t) => {
  const socket = await connect(t, server);
  socket.emit('unheard-of', 1, { two: 2 });
  socket.emit('echo', 'x');
  await barrier(socket);
  const seen = (await server.received(socket.id)).map(({ event, args }) => [event, args]);
  assert.deepEqual(seen, [['unheard-of', [1, { two: 2 }]], ['echo', ['x']], ['ack', ['barrier']]]);
});

conform('2.7 what a per-packet middleware refuses is not handled, and nothing is told to the client', async (t) => {
  const socket = await connect(t, server);
  const heard = [];
  socket.onAny((event) => heard.push(event));
  let answered = false;
  socket.emit('blocked', 1, () => (answered = true));
  await barrier(socket);
  assert.deepEqual(heard, []);
  assert.equal(answered, false);
});

conform('2.7 a broadcast with attachments reaches clients that compress and clients that do not', async (t) => {
  const compressing = await startServer({ perMessageDeflate: true });
  t.after(() => compressing.stop());
  const plain = await connect(t, compressing, { transport: 'websocket', perMessageDeflate: false });
  const agreed = await connect(t, compressing, { transport: 'websocket', perMessageDeflate: { threshold: 0 } });
  assert.match(agreed.io.engine.transport.ws.extensions, /permessage-deflate/);
  const sockets = [plain, agreed];
  const heard = sockets.map((socket) => next(socket, 'news'));
  const large = { text: 'again and '.repeat(5_000), bytes: Buffer.alloc(50_000, 7) };
  await ask(plain, 'to', { rooms: [], self: true, event: 'news', args: [large] });
  for (const args of await Promise.all(heard)) {
    assert.equal(args[0].text, large.text);
    assert.deepEqual(Buffer.from(args[0].bytes), large.bytes);
  }
});
