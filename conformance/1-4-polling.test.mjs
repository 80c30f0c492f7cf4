// protocol.md 1.4: long-polling, its framing and its overlapping, oversized and aborted requests.
import assert from 'node:assert/strict';
import { fresh } from './lib/clients.mjs';
import { begin, enginePath, Polling, readResponse, request, requestHead, separator, Wire } from './lib/raw.mjs';
import { RawWebSocket } from './lib/raw-websocket.mjs';
import { conform, weirOnly } from './lib/suite.mjs';
import { startServer } from './lib/target.mjs';

const limit = 1_000;
const [server, small] = await Promise.all([startServer(), startServer({ maxHttpBufferSize: limit })]);

const event = (...args) => `42${JSON.stringify(args)}`;

async function joined(t, on = server) {
  const peer = await Polling.open(t, on);
  peer.id = await peer.join();
  return peer;
}

/** Posts the packets and waits until the server's handlers have run for all of them. */
async function handled(peer, ...packets) {
  const mark = fresh(`mark-${peer.sid}`);
  const response = await peer.post(...packets, event('mark', mark));
  await peer.server.marked(mark);
  return response;
}

conform('1.4 one response carries everything buffered, joined by 0x1e without a trailing one', async (t) => {
  const peer = await joined(t);
  await handled(peer, event('echo', 'hello'), event('echo', 'bye'));
  const response = await peer.get();
  assert.equal(response.text, [event('echo', 'hello'), event('echo', 'bye')].join(separator));
});

conform('1.4 all packets of a POST are handled, in order', async (t) => {
  const peer = await joined(t);
  const packets = Array.from({ length: 50 }, (_, n) => event('echo', n));
  await handled(peer, ...packets);
  const got = [];
  while (got.length < packets.length) got.push(await peer.packet());
  assert.deepEqual(got, packets);
});

conform('1.4 binary is b and padded base64, both ways', async (t) => {
  const peer = await joined(t);
  await peer.post('451-["echo",{"_placeholder":true,"num":0}]', 'bAQIDBA==');
  assert.equal(await peer.packet(), '451-["echo",{"_placeholder":true,"num":0}]');
  assert.equal(await peer.packet(), 'bAQIDBA==');
});

conform('1.4 a b packet is accepted inside a websocket text frame too', async (t) => {
  const ws = await RawWebSocket.open(t, server);
  await ws.join();
  ws.send('451-["echo",{"_placeholder":true,"num":0}]');
  ws.send('bAQIDBA==');
  assert.equal(await ws.message(), '451-["echo",{"_placeholder":true,"num":0}]');
  assert.deepEqual(await ws.message(), Buffer.from([1, 2, 3, 4]));
});

conform('1.4 text is UTF-8 and Content-Length counts bytes', async (t) => {
  const peer = await joined(t);
  await peer.post(event('echo', 'é€😀'));
  const response = await peer.get();
  assert.equal(response.text, event('echo', 'é€😀'));
  assert.equal(response.headers['content-length'], String(Buffer.byteLength(event('echo', 'é€😀'))));
});

// Whether the application still hears the packets before it is open: npm socket.io drops what is dispatched after the close.
conform('1.4 decoding stops at the first bad packet: nothing behind it is delivered, the session closes', async (t) => {
  const peer = await joined(t);
  const behind = fresh('behind');
  await peer.post(event('echo', 'before'), 'zbad', event('mark', behind));
  assert.equal((await server.disconnected(peer.id)).reason, 'parse error');
  await peer.gone();
  assert.ok(!(await server.control('GET', '/marks')).includes(behind));
});

conform('1.4 a GET is held until there is a packet', async (t) => {
  const peer = await joined(t);
  const poll = await peer.begin();
  let answered = false;
  poll.response.then(() => (answered = true));
  await handled(peer);
  await handled(peer);
  assert.equal(answered, false);
  await peer.post(event('echo', 1));
  assert.equal((await poll.response).text, event('echo', 1));
});

conform('1.4 the response of a GET', async (t) => {
  const peer = await joined(t);
  await peer.post(event('echo', 1));
  const response = await peer.get();
  assert.equal(response.status, 200);
  assert.equal(response.headers['content-type'], 'text/plain; charset=UTF-8');
  assert.equal(response.headers['content-length'], String(response.body.length));
  assert.equal(response.headers['cache-control'], 'no-store');
  assert.equal(response.headers['x-xss-protection'], undefined);
});

conform('1.4 old Internet Explorer also gets X-XSS-Protection: 0', async (t) => {
  const userAgent = 'Mozilla/5.0 (Windows NT 6.1; Trident/7.0; rv:11.0) like Gecko';
  const path = enginePath({ EIO: 4, transport: 'polling' });
  const response = await request(t, server, { path, headers: { 'User-Agent': userAgent } });
  assert.equal(response.headers['x-xss-protection'], '0');
});

conform('1.4 the response of a POST is ok', async (t) => {
  const peer = await joined(t);
  const response = await peer.post(event('echo', 1));
  assert.equal(response.status, 200);
  assert.equal(response.text, 'ok');
  assert.equal(response.headers['content-type'], 'text/html');
  assert.equal(response.headers['content-length'], '2');
  assert.equal(response.headers['cache-control'], 'no-store');
});

conform('1.4 POST of application/octet-stream: 400 empty, the session closes', async (t) => {
  const peer = await joined(t);
  const headers = { 'Content-Type': 'application/octet-stream' };
  const response = await (await peer.begin({ method: 'POST', headers, body: event('echo', 1) })).response;
  assert.equal(response.status, 400);
  assert.equal(response.text, '');
  await server.disconnected(peer.id);
  await peer.gone();
});

conform('1.4 any other content type, or none, is read as text', async (t) => {
  const peer = await joined(t);
  for (const headers of [{}, { 'Content-Type': 'application/json' }, { 'Content-Type': 'text/plain; charset=latin1' }]) {
    const response = await (await peer.begin({ method: 'POST', headers, body: event('echo', 'é') })).response;
    assert.equal(response.status, 200);
    assert.equal(await peer.packet(), event('echo', 'é'));
  }
});

// A mark event whose packet has exactly this many bytes.
function sized(bytes, letter = 'x') {
  const frame = event('mark', '').length;
  const unit = Buffer.byteLength(letter);
  return event('mark', letter.repeat(Math.floor((bytes - frame) / unit)) + 'y'.repeat((bytes - frame) % unit));
}

conform('1.4 a POST of exactly maxHttpBufferSize is accepted', async (t) => {
  const peer = await joined(t, small);
  const packet = sized(limit);
  assert.equal(packet.length, limit);
  assert.equal((await peer.post(packet)).status, 200);
  await peer.post(event('echo', 1));
  assert.equal(await peer.packet(), event('echo', 1));
});

conform('1.4 a POST above maxHttpBufferSize: 413 empty, counted in bytes', async (t) => {
  for (const packet of [sized(limit + 1), sized(limit + 1, '€')]) {
    assert.equal(Buffer.byteLength(packet), limit + 1);
    const response = await (await joined(t, small)).post(packet);
    assert.equal(response.status, 413);
    assert.equal(response.text, '');
  }
});

conform('1.4 a POST above maxHttpBufferSize without Content-Length: 413', async (t) => {
  const peer = await joined(t, small);
  const wire = await Wire.open(t, small.port);
  wire.write(requestHead('POST', peer.path, { Host: 'x', 'Transfer-Encoding': 'chunked' }));
  wire.write(`400\r\n${'x'.repeat(0x400)}\r\n`); // and no end
  assert.equal((await readResponse(wire)).status, 413);
});

weirOnly('1.4 413 closes the session', async (t) => {
  const peer = await joined(t, small);
  assert.equal((await peer.post(sized(limit + 1))).status, 413);
  await small.disconnected(peer.id);
  await peer.gone();
});

conform('1.4 an aborted POST closes the session: transport error', async (t) => {
  const peer = await joined(t);
  const wire = await Wire.open(t, server.port);
  wire.write(requestHead('POST', peer.path, { Host: 'x', 'Content-Length': 100, Expect: '100-continue' }));
  await wire.through('100 Continue\r\n\r\n', '100 Continue'); // the server is reading the body now
  wire.write('42["echo",');
  wire.socket.destroy();
  assert.equal((await server.disconnected(peer.id)).reason, 'transport error');
  await peer.gone();
});

conform('1.4 second GET while one is pending: new one 400, session closes, first gets 1', async (t) => {
  const peer = await joined(t);
  const first = await pendingGet(peer);
  const second = await peer.get();
  assert.equal(second.status, 400);
  assert.equal(second.text, '');
  const answer = await first.response;
  assert.equal(answer.status, 200);
  assert.equal(answer.text, '1');
  assert.equal((await server.disconnected(peer.id)).reason, 'transport error');
  await peer.gone();
});

// A GET the server has seen: it goes out on a connection that has served one already, followed by round trips on others.
async function pendingGet(peer) {
  const { wire, response } = await peer.begin();
  await peer.post(event('echo', 'primer'));
  assert.equal((await response).text, event('echo', 'primer'));
  wire.write(requestHead('GET', peer.path, { Host: 'x' }));
  await handled(peer);
  await handled(peer);
  const second = readResponse(wire);
  second.catch(() => {}); // a test may drop the connection
  return { wire, response: second };
}

conform('1.4 second POST while one is being read: 400 empty, the session closes', async (t) => {
  const peer = await joined(t);
  const wire = await Wire.open(t, server.port);
  wire.write(requestHead('POST', peer.path, { Host: 'x', 'Content-Length': 100, Expect: '100-continue' }));
  await wire.through('100 Continue\r\n\r\n', '100 Continue');
  const second = await peer.post(event('echo', 1));
  assert.equal(second.status, 400);
  assert.equal(second.text, '');
  assert.equal((await server.disconnected(peer.id)).reason, 'transport error');
  await peer.gone();
});

conform('1.4 GET and POST in parallel is the normal case', async (t) => {
  const peer = await joined(t);
  for (let n = 0; n < 5; n += 1) {
    const poll = await peer.begin();
    assert.equal((await peer.post(event('echo', n))).text, 'ok');
    assert.equal((await poll.response).text, event('echo', n));
  }
});

conform('1.4 a client that drops its pending GET: session closes, transport error', async (t) => {
  const peer = await joined(t);
  const { wire } = await pendingGet(peer);
  wire.socket.destroy();
  assert.equal((await server.disconnected(peer.id)).reason, 'transport error');
  await peer.gone();
});

const compressible = 'compress me '.repeat(200); // 2,400 bytes

for (const encoding of ['gzip', 'deflate']) {
  conform(`1.4 a large response is compressed: ${encoding}`, async (t) => {
    const peer = await joined(t);
    await handled(peer, event('echo', compressible));
    const response = await peer.get({ 'Accept-Encoding': encoding });
    assert.equal(response.headers['content-encoding'], encoding);
    assert.equal(response.decoded, event('echo', compressible));
  });
}

conform('1.4 a response below 1024 bytes, or for a client that accepts no encoding, is not compressed', async (t) => {
  const peer = await joined(t);
  await handled(peer, event('echo', 'x'.repeat(900)));
  assert.equal((await peer.get({ 'Accept-Encoding': 'gzip' })).headers['content-encoding'], undefined);
  for (const headers of [{}, { 'Accept-Encoding': 'identity' }]) {
    await handled(peer, event('echo', compressible));
    const response = await peer.get(headers);
    assert.equal(response.headers['content-encoding'], undefined);
    assert.equal(response.text, event('echo', compressible));
  }
});

conform('1.4 a response none of whose packets allows compression is not compressed', async (t) => {
  const peer = await joined(t);
  await handled(peer, event('to', { rooms: [peer.id], event: 'plain', args: [compressible], self: true, compress: false }));
  const response = await peer.get({ 'Accept-Encoding': 'gzip' });
  assert.equal(response.headers['content-encoding'], undefined);
  assert.equal(response.text, event('plain', compressible));
});

conform('1.4 after an upgrade GET and POST with the sid get code 3', async (t) => {
  const peer = await joined(t);
  const ws = await RawWebSocket.dial(t, server, { query: { sid: peer.sid } });
  ws.send('2probe');
  assert.equal(await ws.text(), '3probe');
  ws.send('5');
  ws.send(event('echo', 'over'));
  assert.equal(await ws.text(), event('echo', 'over'));
  for (const answer of [await peer.get(), await peer.post(event('echo', 1))]) {
    assert.equal(answer.status, 400);
    assert.equal(answer.json.code, 3);
  }
  ws.send(event('echo', 'still'));
  assert.equal(await ws.text(), event('echo', 'still'));
});

conform('1.4 after a close GET and POST with the sid get code 1', async (t) => {
  const peer = await joined(t);
  await peer.post('1');
  await peer.gone();
  for (const answer of [await peer.get(), await peer.post(event('echo', 1))]) {
    assert.equal(answer.status, 400);
    assert.equal(answer.json.code, 1);
  }
});

conform('1.4 several requests on one kept-alive connection', async (t) => {
  const peer = await joined(t);
  const { wire, response } = await begin(t, server, { method: 'POST', path: peer.path, body: event('echo', 1) });
  assert.equal((await response).text, 'ok');
  for (let n = 2; n < 5; n += 1) {
    wire.write(requestHead('GET', peer.path, { Host: 'x' }));
    assert.equal((await readResponse(wire)).text, event('echo', n - 1));
    wire.write(requestHead('POST', peer.path, { Host: 'x', 'Content-Length': event('echo', n).length }));
    wire.write(event('echo', n));
    assert.equal((await readResponse(wire)).text, 'ok');
  }
});
