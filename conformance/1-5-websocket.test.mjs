// protocol.md 1.5 and RFC 6455: the websocket transport, frame by frame.
import assert from 'node:assert/strict';
import WebSocket from 'ws';
import { enginePath } from './lib/raw.mjs';
import { closePayload, frame, opcode, RawWebSocket, upgrade } from './lib/raw-websocket.mjs';
import { conform, weirOnly } from './lib/suite.mjs';
import { startServer } from './lib/target.mjs';
import { next } from './lib/wait.mjs';

const limit = 1_000;
const [server, small] = await Promise.all([startServer(), startServer({ maxHttpBufferSize: limit })]);

async function joined(t, on = server) {
  const ws = await RawWebSocket.open(t, on);
  ws.id = await ws.join();
  return ws;
}

const event = (...args) => `42${JSON.stringify(args)}`;
const [e1, e2, e3] = ['42["ec', 'ho","f', 'rag"]'];

async function assertEchoes(ws, text = 'alive') {
  ws.send(event('echo', text));
  assert.equal(await ws.text(), event('echo', text));
}

conform('1.5 one packet per message: text with its type, binary as raw bytes', async (t) => {
  const ws = await joined(t);
  await assertEchoes(ws, 'é€😀');
  ws.send('452-["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]');
  ws.sendBytes(Buffer.from([0]));
  ws.sendBytes(Buffer.alloc(0));
  assert.equal(await ws.message(), '452-["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]');
  assert.deepEqual(await ws.message(), Buffer.from([0]));
  assert.deepEqual(await ws.message(), Buffer.alloc(0));
});

for (const size of [125, 126, 65_535, 65_536, 300_000]) {
  conform(`1.5 payload lengths in all three forms: ${size} bytes both ways`, async (t) => {
    const ws = await joined(t);
    const packet = event('echo', 'x'.repeat(size - event('echo', '').length));
    ws.send(packet);
    assert.equal(await ws.text(), packet);
  });
}

conform('1.5 a message of exactly maxHttpBufferSize is accepted', async (t) => {
  const ws = await joined(t, small);
  const packet = event('echo', 'x'.repeat(limit - event('echo', '').length));
  ws.send(packet);
  assert.equal(await ws.text(), packet);
});

const tooBig = {
  'in one frame': [frame({ payload: 'x'.repeat(limit + 1) })],
  'as the sum of its fragments': [
    frame({ fin: false, payload: `4${'x'.repeat(limit - 1)}` }),
    frame({ op: opcode.continuation, payload: 'x' }),
  ],
  'announced only, the payload never comes': [frame({ payload: '', length: limit + 1 })],
  'announced as 2^40 bytes': [frame({ payload: '', length: 2 ** 40 })],
  'as binary': [frame({ op: opcode.binary, payload: Buffer.alloc(limit + 1) })],
};
for (const [how, frames] of Object.entries(tooBig)) {
  conform(`1.5 a message above maxHttpBufferSize, ${how}: close code 1009, transport error`, async (t) => {
    const ws = await joined(t, small);
    ws.write(...frames);
    assert.equal(await ws.closed(), 1009);
    assert.equal((await small.disconnected(ws.id)).reason, 'transport error');
  });
}

conform('1.5 the server closes with an empty close frame', async (t) => {
  const ws = await joined(t);
  ws.send(event('disconnect-me', true));
  assert.equal(await ws.text(), '41');
  const last = await ws.frame();
  assert.equal(last.op, opcode.close);
  assert.equal(last.payload.length, 0);
});

conform('1.5 a fragmented message is put together, with control frames in between', async (t) => {
  const ws = await joined(t);
  ws.write(
    { fin: false, payload: e1 },
    { op: opcode.ping, payload: 'in between' },
    { fin: false, op: opcode.continuation, payload: e2 },
    { op: opcode.pong, payload: 'unasked' },
    { fin: false, op: opcode.continuation, payload: '' },
    { op: opcode.continuation, payload: e3 },
  );
  const pong = await ws.frame();
  assert.equal(pong.op, opcode.pong);
  assert.equal(pong.payload.toString(), 'in between');
  assert.equal(await ws.text(), event('echo', 'frag'));
});

conform('1.5 a frame may arrive byte by byte', async (t) => {
  const ws = await joined(t);
  for (const byte of frame({ payload: event('echo', 'slow') })) ws.wire.write(Buffer.from([byte]));
  assert.equal(await ws.text(), event('echo', 'slow'));
});

conform('1.5 many frames may arrive in one segment', async (t) => {
  const ws = await joined(t);
  ws.write(...Array.from({ length: 100 }, (_, n) => ({ payload: event('echo', n) })));
  for (let n = 0; n < 100; n += 1) assert.equal(await ws.text(), event('echo', n));
});

conform('1.5 a websocket ping is answered with its payload', async (t) => {
  const ws = await joined(t);
  for (const payload of ['', 'x'.repeat(125)]) {
    ws.write({ op: opcode.ping, payload });
    const pong = await ws.frame();
    assert.deepEqual([pong.op, pong.fin, pong.payload.toString()], [opcode.pong, true, payload]);
  }
});

conform('1.5 a UTF-8 sequence may be split by fragments', async (t) => {
  const ws = await joined(t);
  const bytes = Buffer.from(event('echo', '😀'));
  const middle = bytes.indexOf(0xf0) + 2;
  ws.write({ fin: false, payload: bytes.subarray(0, middle) }, { op: opcode.continuation, payload: bytes.subarray(middle) });
  assert.equal(await ws.text(), event('echo', '😀'));
});

const violations = {
  'an unmasked frame': [1002, { masked: false, payload: '3' }],
  'RSV1 without an extension': [1002, { rsv: 4, payload: '3' }],
  'RSV2': [1002, { rsv: 2, payload: '3' }],
  'RSV3': [1002, { rsv: 1, payload: '3' }],
  'RSV1 on a control frame': [1002, { rsv: 4, op: opcode.ping }],
  'the reserved data opcode 3': [1002, { op: 0x3 }],
  'the reserved control opcode 11': [1002, { op: 0xb }],
  'a fragmented ping': [1002, { fin: false, op: opcode.ping, payload: 'x' }],
  'a ping of 126 bytes': [1002, { op: opcode.ping, payload: 'x'.repeat(126) }],
  'a continuation of nothing': [1002, { op: opcode.continuation, payload: 'x' }],
  'a new message inside a fragmented one': [1002, { fin: false, payload: '4' }, { payload: '3' }],
  'a length with the top bit set': [[1002, 1009], Buffer.from([0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0])],
  'text that is not UTF-8': [1007, { payload: Buffer.from([0x34, 0xc0, 0xaf]) }],
  'text with a surrogate': [1007, { payload: Buffer.from([0x34, 0xed, 0xa0, 0x80]) }],
  'text that ends inside a character': [1007, { payload: Buffer.from([0x34, 0xe2, 0x82]) }],
  'bad UTF-8 across fragments': [1007, { fin: false, payload: Buffer.from([0x34, 0xe2]) }, { op: opcode.continuation, payload: Buffer.from([0x28]) }],
  'a close payload of one byte': [1002, { op: opcode.close, payload: 'x' }],
  'close code 999': [1002, { op: opcode.close, payload: closePayload(999) }],
  'close code 1004': [1002, { op: opcode.close, payload: closePayload(1004) }],
  'close code 1005 on the wire': [1002, { op: opcode.close, payload: closePayload(1005) }],
  'close code 1006 on the wire': [1002, { op: opcode.close, payload: closePayload(1006) }],
  'close code 5000': [1002, { op: opcode.close, payload: closePayload(5000) }],
  'a close reason that is not UTF-8': [1007, { op: opcode.close, payload: closePayload(1000, Buffer.from([0xff])) }],
};
for (const [what, [code, ...frames]] of Object.entries(violations)) {
  conform(`1.5 RFC 6455: ${what} fails the connection with ${[].concat(code).join(' or ')}, transport error`, async (t) => {
    const ws = await joined(t);
    ws.write(...frames);
    const got = await ws.closed();
    assert.ok([].concat(code).includes(got), `close code ${got}`);
    assert.equal((await server.disconnected(ws.id)).reason, 'transport error');
  });
}

for (const code of [1000, 1001, 3000, 4999]) {
  conform(`1.5 RFC 6455: a client's close ${code} is echoed; the session ends, transport close`, async (t) => {
    const ws = await joined(t);
    ws.write({ op: opcode.close, payload: closePayload(code, 'bye') });
    assert.equal(await ws.closed(), code);
    assert.equal((await server.disconnected(ws.id)).reason, 'transport close');
    await ws.wire.rest(); // the server closes TCP (RFC 6455 7.1.1)
  });
}

conform('1.5 RFC 6455: an empty close is answered, and what follows it is ignored', async (t) => {
  const ws = await joined(t);
  ws.write({ op: opcode.close }, { payload: event('echo', 'too late') });
  assert.equal((await ws.frame()).op, opcode.close);
  await server.disconnected(ws.id);
  assert.deepEqual(await server.received(ws.id), []);
});

weirOnly('1.5 frames sent together with the upgrade request are not lost', async (t) => {
  const { wire, response } = await upgrade(t, server, { early: frame({ payload: '40' }) });
  assert.equal(response.status, 101);
  const ws = new RawWebSocket(t, server, wire, response);
  assert.equal((await ws.text())[0], '0');
  assert.match(await ws.text(), /^40\{"sid":/);
  await assertEchoes(ws, 'eager');
});

conform('1.5 the upgrade request: version 13 only, tokens in any case and among others', async (t) => {
  const old = await upgrade(t, server, { headers: { 'Sec-WebSocket-Version': '12' } });
  assert.ok([400, 426].includes(old.response.status), `status ${old.response.status}`);
  await RawWebSocket.open(t, server, { headers: { Connection: 'keep-alive, UPGRADE', Upgrade: 'WebSocket' } });
});

function stockClient(t, on, options) {
  const ws = new WebSocket(`ws://127.0.0.1:${on.port}${enginePath({ EIO: 4, transport: 'websocket' })}`, options);
  t.after(() => ws.terminate());
  return ws;
}

conform('1.5 permessage-deflate is off by default: an offer is not taken up', async (t) => {
  const ws = stockClient(t, server, { perMessageDeflate: true });
  await next(ws, 'open');
  assert.equal(ws.extensions, '');
});

conform('1.5 permessage-deflate, when on: negotiated, and messages of every size survive', async (t) => {
  const compressing = await startServer({ perMessageDeflate: true });
  t.after(() => compressing.stop());
  const ws = stockClient(t, compressing, { perMessageDeflate: { threshold: 0 } });
  const [first] = await next(ws, 'message');
  assert.equal(first.toString()[0], '0');
  assert.match(ws.extensions, /permessage-deflate/);
  for (const packet of ['40', event('echo', 'short'), event('echo', 'long '.repeat(2_000)), event('echo', 'again')]) {
    const answer = next(ws, 'message');
    ws.send(packet);
    const [data] = await answer;
    if (packet !== '40') assert.equal(data.toString(), packet);
  }
});

conform('1.5 permessage-deflate with no context takeover, and with an offer that cannot be kept', async (t) => {
  const compressing = await startServer({ perMessageDeflate: true });
  t.after(() => compressing.stop());
  for (const options of [
    { serverNoContextTakeover: true, clientNoContextTakeover: true, threshold: 0 },
    { serverMaxWindowBits: 9, threshold: 0 },
  ]) {
    const ws = stockClient(t, compressing, { perMessageDeflate: options });
    await next(ws, 'message');
    for (const packet of ['40', event('echo', 'long '.repeat(40_000)), event('echo', 'short')]) {
      const answer = next(ws, 'message');
      ws.send(packet);
      const [data] = await answer;
      if (packet !== '40') assert.equal(data.toString(), packet);
    }
  }
});

conform('1.5 permessage-deflate: a message that inflates beyond maxHttpBufferSize closes with 1009', async (t) => {
  const compressing = await startServer({ perMessageDeflate: true, maxHttpBufferSize: 10_000 });
  t.after(() => compressing.stop());
  const ws = stockClient(t, compressing, { perMessageDeflate: { threshold: 0 } });
  await next(ws, 'message');
  const closed = next(ws, 'close');
  ws.send(event('echo', 'x'.repeat(1_000_000)));
  assert.equal((await closed)[0], 1009);
});
