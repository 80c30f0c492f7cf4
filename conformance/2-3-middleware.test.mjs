// protocol.md 2.3: connection middlewares and the handshake they see.
import assert from 'node:assert/strict';
import { also, ask, barrier, connect, connected, refusal, socketOf } from './lib/clients.mjs';
import { Polling } from './lib/raw.mjs';
import { RawWebSocket } from './lib/raw-websocket.mjs';
import { conform, overTransports } from './lib/suite.mjs';
import { startServer } from './lib/target.mjs';
import { next } from './lib/wait.mjs';

const server = await startServer();

overTransports('2.3 an error of a middleware is a CONNECT_ERROR with message and data', async (t, transport) => {
  for (const auth of [undefined, { token: 'wrong' }, { token: ['secret'] }]) {
    const error = await refusal(socketOf(t, server, { transport, namespace: '/admin', auth }));
    assert.equal(error.message, 'Not authorized');
    assert.deepEqual(error.data, { code: 'E_AUTH' });
  }
});

conform('2.3 CONNECT_ERROR on the wire: data only if it is set', async (t) => {
  const ws = await RawWebSocket.open(t, server);
  ws.send('40/admin,{"token":"wrong"}');
  assert.equal(await ws.text(), '44/admin,{"message":"Not authorized","data":{"code":"E_AUTH"}}');
  ws.send('40/steps,{"fail":1}');
  assert.equal(await ws.text(), '44/steps,{"message":"step 1"}');
});

conform('2.3 middlewares run in order and the first error ends it', async (t) => {
  for (const step of [1, 2]) {
    const error = await refusal(socketOf(t, server, { namespace: '/steps', auth: { fail: step } }));
    assert.equal(error.message, `step ${step}`);
  }
});

overTransports('2.3 the right auth connects, and the client may try again after a refusal', async (t, transport) => {
  const socket = socketOf(t, server, { transport, namespace: '/admin', auth: { token: 'wrong' } });
  await refusal(socket);
  assert.equal(socket.active, false); // no reconnection of its own
  socket.auth = { token: 'secret' };
  await connected(socket);
  assert.equal(await ask(socket, 'ack', 1), 1);
});

overTransports('2.3 a refusal has no effect on other namespaces', async (t, transport) => {
  const root = await connect(t, server, { transport });
  await refusal(root.io.socket('/admin', { auth: { token: 'wrong' } }));
  const chat = await also(root, '/chat');
  await barrier(root);
  await barrier(chat);
});

for (const Peer of [RawWebSocket, Polling]) {
  conform(`2.3 order: room of its own, CONNECT answer, then the connection handlers' events [${Peer.name}]`, async (t) => {
    const peer = await Peer.open(t, server);
    const id = await peer.join('/steps', {}); // reads the first packet: the answer
    assert.equal(await peer.packet(), `42/steps,["hello",{"steps":[1,2],"rooms":["${id}"]}]`);
  });
}

overTransports('2.3 an event emitted at connection is heard by a listener set before connecting', async (t, transport) => {
  const socket = socketOf(t, server, { transport, namespace: '/steps' });
  const hello = next(socket, 'hello');
  await connected(socket);
  assert.deepEqual(await hello, [{ steps: [1, 2], rooms: [socket.id] }]);
});

overTransports('2.3 the handshake: headers, address, url, query, auth, issued, time', async (t, transport) => {
  const before = Date.now();
  const extraHeaders = { 'X-Trace': 'abc' };
  const socket = await connect(t, server, { transport, extraHeaders, query: { colour: 'red' }, auth: { token: 'x', n: 1 } });
  const handshake = await ask(socket, 'handshake', ['host', 'x-trace', 'x-missing']);
  assert.deepEqual(handshake.headers, { host: `127.0.0.1:${server.port}`, 'x-trace': 'abc' });
  assert.match(handshake.address, /^(::ffff:)?127\.0\.0\.1$/);
  assert.equal(handshake.xdomain, false);
  assert.equal(handshake.secure, false);
  assert.ok(handshake.issued >= before - 1_000 && handshake.issued <= Date.now() + 1_000);
  assert.ok(Math.abs(Date.parse(handshake.time) - handshake.issued) <= 1_000); // time has whole seconds
  assert.ok(handshake.url.startsWith('/socket.io/?'));
  assert.equal(handshake.query.colour, 'red');
  assert.equal(handshake.query.EIO, '4');
  assert.deepEqual(handshake.auth, { token: 'x', n: 1 });
});

conform('2.3 xdomain tells that an Origin was sent', async (t) => {
  const socket = await connect(t, server, { extraHeaders: { Origin: server.url } });
  assert.equal((await ask(socket, 'handshake', [])).xdomain, true);
});

conform('2.3 each namespace has the auth of its own CONNECT', async (t) => {
  const root = await connect(t, server, { auth: { who: 'root' } });
  const chat = await also(root, '/chat', { auth: { who: 'chat' } });
  assert.deepEqual((await ask(root, 'handshake', [])).auth, { who: 'root' });
  assert.deepEqual((await ask(chat, 'handshake', [])).auth, { who: 'chat' });
});
