// protocol.md 1.9: CORS headers and the affinity cookie.
import assert from 'node:assert/strict';
import { enginePath, Polling, request } from './lib/raw.mjs';
import { upgrade } from './lib/raw-websocket.mjs';
import { conform, weirOnly } from './lib/suite.mjs';
import { onWeir, startServer } from './lib/target.mjs';

const origin = 'https://app.example';
const [plain, cors, open, cookie, named] = await Promise.all([
  startServer(),
  startServer({ cors: { origin: [origin, 'https://b.example'], credentials: true } }),
  startServer({ cors: { origin: '*' } }),
  startServer({ cookie: true }),
  startServer({ cookie: { name: 'node', path: '/live', maxAge: 60, secure: true, sameSite: 'none' } }),
]);

const handshake = enginePath({ EIO: 4, transport: 'polling' });

function assertAllowed(response) {
  assert.equal(response.headers['access-control-allow-origin'], origin);
  assert.equal(response.headers['access-control-allow-credentials'], 'true');
  assert.match(response.headers.vary, /\bOrigin\b/);
}

conform('1.9 CORS is off by default', async (t) => {
  for (const headers of [{}, { Origin: plain.url }]) {
    const response = await request(t, plain, { path: handshake, headers });
    assert.equal(response.headers['access-control-allow-origin'], undefined);
    assert.equal(response.headers['access-control-allow-credentials'], undefined);
  }
});

conform('1.9 a listed origin is mirrored, with credentials and Vary, on handshake, GET and POST', async (t) => {
  const headers = { Origin: origin };
  assertAllowed(await request(t, cors, { path: handshake, headers }));
  const peer = await Polling.open(t, cors, { headers });
  assertAllowed(await (await peer.begin({ method: 'POST', headers, body: '40' })).response);
  assertAllowed(await peer.get(headers));
});

conform('1.9 the headers are on errors too', async (t) => {
  for (const [path, code] of [[enginePath({ EIO: 4, transport: 'tcp' }), 0], [enginePath({ EIO: 4, transport: 'polling', sid: 'x' }), 1]]) {
    const response = await request(t, cors, { path, headers: { Origin: origin } });
    assert.equal(response.json.code, code);
    assertAllowed(response);
  }
});

conform('1.9 an unlisted origin is never mirrored', async (t) => {
  const response = await request(t, cors, { path: handshake, headers: { Origin: 'https://evil.example' } });
  assert.equal(response.headers['access-control-allow-origin'], undefined);
  assert.match(response.headers.vary, /\bOrigin\b/);
});

weirOnly('1.9 an unlisted origin is refused: code 4, status 403; a listed one and none are let in', async (t) => {
  const refused = await request(t, cors, { path: handshake, headers: { Origin: 'https://evil.example' } });
  assert.equal(refused.status, 403);
  assert.equal(refused.text, '{"code":4,"message":"Forbidden"}');
  const close = await request(t, cors, { path: handshake, headers: { Origin: `${origin}.evil.example` } });
  assert.equal(close.status, 403);
  for (const headers of [{}, { Origin: origin }]) {
    assert.equal((await request(t, cors, { path: handshake, headers })).status, 200);
    assert.equal((await upgrade(t, cors, { headers })).response.status, 101);
  }
  assert.equal((await upgrade(t, cors, { headers: { Origin: 'https://evil.example' } })).response.status, 400);
});

conform('1.9 preflight: 204, empty, methods, mirrored request headers, Vary', async (t) => {
  const response = await request(t, cors, {
    method: 'OPTIONS',
    path: handshake,
    headers: { Origin: origin, 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'content-type,x-token' },
  });
  assert.equal(response.status, 204);
  // npm sends Content-Length: 0; RFC 9110 8.6 forbids it with 204, and Weir follows that.
  assert.equal(response.headers['content-length'], onWeir ? undefined : '0');
  assertAllowed(response);
  assert.equal(response.headers['access-control-allow-methods'], onWeir ? 'GET,POST' : 'GET,HEAD,PUT,PATCH,POST,DELETE');
  assert.equal(response.headers['access-control-allow-headers'], 'content-type,x-token');
  assert.equal(response.headers.vary, 'Origin, Access-Control-Request-Headers');
});

conform('1.9 origin * answers * to everybody', async (t) => {
  for (const from of [origin, 'https://anyone.example']) {
    const response = await request(t, open, { path: handshake, headers: { Origin: from } });
    assert.equal(response.status, 200);
    assert.equal(response.headers['access-control-allow-origin'], '*');
    assert.equal(response.headers['access-control-allow-credentials'], undefined);
  }
});

conform('1.9 CORS covers the served client file', async (t) => {
  assertAllowed(await request(t, cors, { path: '/socket.io/socket.io.js', headers: { Origin: origin } }));
});

conform('1.9 cookie: io with the sid, on the polling handshake only', async (t) => {
  const response = await request(t, cookie, { path: handshake });
  const { sid } = JSON.parse(response.text.slice(1));
  assert.equal(response.headers['set-cookie'], `io=${sid}; Path=/; HttpOnly; SameSite=Lax`);
  const peer = await Polling.open(t, cookie);
  assert.equal((await peer.post('40')).headers['set-cookie'], undefined);
  assert.equal((await peer.get()).headers['set-cookie'], undefined);
});

conform('1.9 the cookie is not read back: a wrong one changes nothing', async (t) => {
  const peer = await Polling.open(t, cookie, { headers: { Cookie: 'io=somebody' } });
  await peer.join();
  assert.equal((await (await peer.begin({ headers: { Cookie: 'io=somebody' }, method: 'POST', body: '42["echo",1]' })).response).text, 'ok');
  assert.equal(await peer.packet(), '42["echo",1]');
});

conform('1.9 a cookie object overrides name and attributes', async (t) => {
  const response = await request(t, named, { path: handshake });
  const { sid } = JSON.parse(response.text.slice(1));
  const [pair, ...attributes] = response.headers['set-cookie'].split('; ');
  assert.equal(pair, `node=${sid}`);
  assert.deepEqual(attributes.sort(), ['HttpOnly', 'Max-Age=60', 'Path=/live', 'SameSite=None', 'Secure']);
});
