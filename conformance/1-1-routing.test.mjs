// protocol.md 1.1: which requests reach Engine.IO, and how the others are refused.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { connect, ask } from './lib/clients.mjs';
import { begin, enginePath, Polling, request } from './lib/raw.mjs';
import { RawWebSocket, upgrade } from './lib/raw-websocket.mjs';
import { conform, weirOnly } from './lib/suite.mjs';
import { startServer } from './lib/target.mjs';

const [server, moved, websocketOnly] = await Promise.all([
  startServer(),
  startServer({ path: '/live/' }),
  startServer({ transports: ['websocket'] }),
]);

const messages = {
  0: 'Transport unknown',
  1: 'Session ID unknown',
  2: 'Bad handshake method',
  3: 'Bad request',
  4: 'Forbidden',
  5: 'Unsupported protocol version',
};

function assertRefused(response, code) {
  assert.equal(response.status, code === 4 ? 403 : 400);
  assert.match(response.headers['content-type'], /^application\/json/);
  assert.equal(response.text, `{"code":${code},"message":"${messages[code]}"}`);
}

const handshake = { EIO: 4, transport: 'polling' };

conform('1.1 the path is matched by prefix, with its trailing slash', async (t) => {
  assert.equal((await request(t, server, { path: enginePath(handshake) })).status, 200);
  assert.equal((await request(t, server, { path: enginePath(handshake, '/socket.io/more') })).status, 200);
  for (const base of ['/socket.io', '/', '/engine.io/', '/x/socket.io/']) {
    assert.equal((await request(t, server, { path: enginePath(handshake, base) })).status, 404, base);
  }
});

conform('1.1 option path moves Engine.IO', async (t) => {
  assert.equal((await request(t, moved, { path: enginePath(handshake, '/live/') })).status, 200);
  assert.equal((await request(t, moved, { path: enginePath(handshake) })).status, 404);
  const socket = await connect(t, moved, { path: '/live/', transport: 'upgraded' });
  assert.deepEqual(await ask(socket, 'ack', 1), 1);
});

conform('1.1 EIO must be exactly 4: code 5', async (t) => {
  for (const query of ['transport=polling', 'EIO=3&transport=polling', 'EIO=5&transport=polling', 'EIO=&transport=polling']) {
    assertRefused(await request(t, server, { path: `/socket.io/?${query}` }), 5);
  }
});

conform('1.1 an unknown, missing or disabled transport: code 0', async (t) => {
  for (const query of ['EIO=4', 'EIO=4&transport=', 'EIO=4&transport=tcp', 'EIO=4&transport=webtransport', 'EIO=4&transport=constructor']) {
    assertRefused(await request(t, server, { path: `/socket.io/?${query}` }), 0);
  }
  assertRefused(await request(t, websocketOnly, { path: enginePath(handshake) }), 0);
});

conform('1.1 an unknown sid: code 1', async (t) => {
  for (const method of ['GET', 'POST']) {
    assertRefused(await request(t, server, { method, path: enginePath({ ...handshake, sid: 'nobody' }), body: '' }), 1);
  }
});

conform('1.1 a handshake that is not GET: code 2', async (t) => {
  for (const method of ['POST', 'PUT', 'DELETE']) {
    assertRefused(await request(t, server, { method, path: enginePath(handshake), body: '' }), 2);
  }
});

conform('1.1 transport=websocket without an Upgrade request: code 3', async (t) => {
  assertRefused(await request(t, server, { path: enginePath({ EIO: 4, transport: 'websocket' }) }), 3);
});

conform('1.1 a transport other than the one the session uses: code 3', async (t) => {
  const polling = await Polling.open(t, server);
  assertRefused(await request(t, server, { path: enginePath({ EIO: 4, transport: 'websocket', sid: polling.sid }) }), 3);
  const ws = await RawWebSocket.open(t, server);
  assertRefused(await request(t, server, { path: enginePath({ ...handshake, sid: ws.sid }) }), 3);
  assert.ok(await polling.alive());
  assert.ok(await ws.alive());
});

conform('1.1 illegal characters in Origin: refused with 400', async (t) => {
  const response = await request(t, server, { path: enginePath(handshake), headers: { Origin: 'http://a\x01b' } });
  assert.equal(response.status, 400); // an HTTP parser may refuse it before Engine.IO names code 3
});

weirOnly('1.1 a foreign browser origin: code 4, status 403', async (t) => {
  for (const path of [enginePath(handshake), enginePath({ ...handshake, t: 'x' })]) {
    assertRefused(await request(t, server, { path, headers: { Origin: 'https://elsewhere.example' } }), 4);
  }
});

weirOnly('1.1 a foreign browser origin on a websocket: 400 with the body Forbidden', async (t) => {
  const { response } = await upgrade(t, server, { headers: { Origin: 'https://elsewhere.example' } });
  assert.equal(response.status, 400);
  assert.equal(response.text, 'Forbidden');
});

weirOnly('1.1 the opaque origin null is foreign', async (t) => {
  assertRefused(await request(t, server, { path: enginePath(handshake), headers: { Origin: 'null' } }), 4);
});

conform('1.1 no Origin, and the server\'s own origin, are let in', async (t) => {
  for (const headers of [{}, { Origin: server.url }]) {
    assert.equal((await request(t, server, { path: enginePath(handshake), headers })).status, 200);
    await RawWebSocket.open(t, server, { headers });
  }
});

conform('1.1 the checks are made in order: transport, sid, method, version', async (t) => {
  const cases = [
    ['GET', { EIO: 4, transport: 'tcp', sid: 'nobody' }, 0],
    ['POST', { EIO: 3, transport: 'tcp' }, 0],
    ['GET', { EIO: 3, transport: 'polling', sid: 'nobody' }, 1],
    ['POST', { EIO: 3, transport: 'polling' }, 2],
    ['GET', { EIO: 3, transport: 'websocket' }, 3],
  ];
  for (const [method, query, code] of cases) {
    assertRefused(await request(t, server, { method, path: enginePath(query), body: '' }), code);
  }
});

conform('1.1 the order of the keys is irrelevant and of duplicates the last wins', async (t) => {
  assert.equal((await request(t, server, { path: '/socket.io/?t=x&transport=polling&EIO=4' })).status, 200);
  assert.equal((await request(t, server, { path: '/socket.io/?EIO=3&transport=tcp&EIO=4&transport=polling' })).status, 200);
  assertRefused(await request(t, server, { path: '/socket.io/?EIO=4&transport=polling&EIO=3' }), 5);
});

conform('1.1 extra query keys reach the application', async (t) => {
  const socket = await connect(t, server, { query: { room: 'blue', n: '1 & 2' } });
  const { query } = await ask(socket, 'handshake', []);
  assert.equal(query.room, 'blue');
  assert.equal(query.n, '1 & 2');
  assert.equal(query.EIO, '4');
  assert.equal(query.transport, 'websocket');
});

conform('1.1 another method on a living polling session: 500 with an empty body', async (t) => {
  for (const method of ['PUT', 'DELETE', 'PATCH']) {
    const polling = await Polling.open(t, server);
    const response = await request(t, server, { method, path: polling.path, body: '' });
    assert.equal(response.status, 500, method);
    assert.equal(response.text, '');
    assert.ok(await polling.alive());
  }
});

conform('1.1 a refused upgrade is a plain 400 with the message as its body, and the connection closes', async (t) => {
  const cases = [
    [{ transport: 'tcp' }, 'Transport unknown'],
    [{ sid: 'nobody' }, 'Session ID unknown'],
  ];
  for (const [query, message] of cases) {
    const { wire, response } = await upgrade(t, server, { query });
    assert.equal(response.status, 400);
    assert.equal(response.reason, 'Bad Request');
    assert.equal(response.headers.connection, 'close');
    assert.match(response.headers['content-type'], /^text\/html/);
    assert.equal(response.headers['content-length'], String(message.length));
    assert.equal(response.text, message);
    await wire.rest();
  }
});

conform('1.1 an upgrade without a good Sec-WebSocket-Key: 400', async (t) => {
  const missing = await upgrade(t, server, { without: ['Sec-WebSocket-Key'] });
  assert.equal(missing.response.status, 400);
  const short = await upgrade(t, server, { headers: { 'Sec-WebSocket-Key': randomBytes(8).toString('base64') } });
  assert.equal(short.response.status, 400);
});

conform('1.1 code 5 on a websocket: the client sees the connection drop, never an open packet', async (t) => {
  const { wire, response } = await upgrade(t, server, { query: { EIO: 3 } });
  assert.ok([101, 400].includes(response.status), `status ${response.status}`);
  const rest = await wire.rest();
  assert.ok(!rest.includes('"sid"'), rest.toString());
});

conform('1.1 a refused request disturbs nothing else on its connection', async (t) => {
  const { wire, response } = await begin(t, server, { path: enginePath({ EIO: 4, transport: 'tcp' }) });
  assertRefused(await response, 0);
  wire.socket.destroy();
  assert.equal((await request(t, server, { path: enginePath(handshake) })).status, 200);
});
