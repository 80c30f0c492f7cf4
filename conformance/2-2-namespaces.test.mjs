// protocol.md 2.2: namespaces on one connection.
import assert from 'node:assert/strict';
import { also, ask, barrier, connect, refusal } from './lib/clients.mjs';
import { RawWebSocket } from './lib/raw-websocket.mjs';
import { conform, overTransports } from './lib/suite.mjs';
import { startServer } from './lib/target.mjs';
import { next } from './lib/wait.mjs';

const server = await startServer();

overTransports('2.2 an unknown namespace is refused, the connection stays open', async (t, transport) => {
  const socket = await connect(t, server, { transport });
  const error = await refusal(socket.io.socket('/nowhere', {}));
  assert.equal(error.message, 'Invalid namespace');
  assert.equal(error.data, undefined);
  assert.equal(await ask(socket, 'ack', 1), 1);
});

conform('2.2 the query string belongs to the name of a namespace', async (t) => {
  const ws = await RawWebSocket.open(t, server);
  for (const name of ['/?a=1', '/chat?a=1']) {
    ws.send(`40${name},`);
    assert.equal(await ws.text(), `44${name},{"message":"Invalid namespace"}`);
  }
  await ws.join('/chat');
});

overTransports('2.2 several namespaces share a connection, each with an id of its own', async (t, transport) => {
  const root = await connect(t, server, { transport });
  const chat = await also(root, '/chat');
  const admin = await also(root, '/admin', { auth: { token: 'secret' } });
  assert.equal(new Set([root.id, chat.id, admin.id, root.io.engine.id]).size, 4);
  for (const socket of [root, chat, admin]) {
    const echoed = next(socket, 'echo');
    socket.emit('echo', socket.nsp);
    assert.deepEqual(await echoed, [socket.nsp]);
  }
});

conform('2.2 a socket id is random and at least 20 url-safe characters', async (t) => {
  const ids = new Set();
  for (let n = 0; n < 10; n += 1) ids.add((await connect(t, server)).id);
  assert.equal(ids.size, 10);
  for (const id of ids) assert.match(id, /^[A-Za-z0-9_-]{20,}$/);
});

overTransports('2.2 events of one namespace are not heard in another', async (t, transport) => {
  const root = await connect(t, server, { transport });
  const chat = await also(root, '/chat');
  const heard = [];
  root.onAny((event) => heard.push(event));
  const echoed = next(chat, 'echo');
  chat.emit('broadcast', 'shout', 1);
  chat.emit('echo', 1);
  await echoed;
  await barrier(root);
  assert.deepEqual(heard, []);
});

overTransports('2.2 leaving one namespace leaves the others alone', async (t, transport) => {
  const root = await connect(t, server, { transport });
  const chat = await also(root, '/chat');
  const { id } = chat;
  chat.disconnect();
  assert.equal((await server.disconnected(id)).reason, 'client namespace disconnect');
  assert.equal(await ask(root, 'ack', 1), 1);
  chat.connect();
  await next(chat, 'connect');
  assert.notEqual(chat.id, id);
});

conform('2.2 a connection may join another namespace and never the root', async (t) => {
  const chat = await connect(t, server, { namespace: '/chat' });
  assert.equal(await ask(chat, 'ack', 1), 1);
});

conform('2.2 the ids of requests to a client are decimal, from a counter', async (t) => {
  const ws = await RawWebSocket.open(t, server);
  await ws.join('/chat');
  const ids = [];
  for (let n = 0; n < 3; n += 1) {
    ws.send('42/chat,["server-ack",{"timeout":9000},1]');
    const [, id] = /^42\/chat,(\d+)\["question",1\]$/.exec(await ws.text());
    ids.push(Number(id));
    ws.send(`43/chat,${id}[${n}]`);
    assert.equal(await ws.text(), `42/chat,["answer",{"value":[${n}]}]`);
  }
  assert.equal(new Set(ids).size, 3);
  assert.deepEqual(ids, [...ids].sort((a, b) => a - b));
});
