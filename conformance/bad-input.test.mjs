// protocol.md 2.1 (rejections, state rules) and issue 2 step 6: what must be refused, how far the refusal reaches, and
// that nothing else is disturbed by it.
import assert from 'node:assert/strict';
import { after } from 'node:test';
import { barrier, connect } from './lib/clients.mjs';
import { enginePath, Polling, request, requestHead, Wire } from './lib/raw.mjs';
import { frame, opcode, RawWebSocket } from './lib/raw-websocket.mjs';
import { conform, weirOnly } from './lib/suite.mjs';
import { startServer } from './lib/target.mjs';

const server = await startServer();
const witness = await startWitness();
after(() => witness.end());

/** One healthy client that is there all the time and must never notice. */
async function startWitness() {
  const ends = [];
  const socket = await connect({ after: (end) => ends.push(end) }, server);
  const gone = [];
  socket.on('disconnect', (reason) => gone.push(reason));
  return {
    async assertUndisturbed() {
      await barrier(socket);
      assert.deepEqual(gone, []);
    },
    end: () => ends.forEach((end) => end()),
  };
}

const holder = (num) => `{"_placeholder":true,"num":${num}}`;
const eleven = `4511-["echo",${Array.from({ length: 11 }, (_, n) => holder(n)).join()}]`;

const deep = `42["echo",${'['.repeat(50_000)}${']'.repeat(50_000)}`; // one bracket short

/** Packets that close the whole connection. A Buffer is sent as a binary message. */
const rejected = {
  'an unknown packet type': ['47'],
  'no packet type': ['4'],
  'a type that is not a digit': ['4x["echo"]'],
  'an attachment count without a dash': ['451["echo"]'],
  'an attachment count that is no number': ['45x-["echo"]'],
  'a negative attachment count': ['45-1-["echo"]'],
  'a fractional attachment count': ['451.5-["echo"]'],
  'no attachment count': ['45-["echo"]'],
  'an attachment count of 0': ['450-["echo"]'],
  'eleven attachments': [eleven],
  'a huge attachment count': ['4599999999999999999999-["echo"]'],
  'JSON that ends early': ['42["echo"'],
  'JSON with something behind it': ['42["echo"]x'],
  'JSON with a trailing comma': ['42["echo",]'],
  'JSON with single quotes': ["42['echo']"],
  'JSON with NaN': ['42["echo",NaN]'],
  'JSON nested 50,000 deep and never closed': [deep],
  'an event that is an object': ['42{}'],
  'an event that is a string': ['42"echo"'],
  'an event that is an empty array': ['42[]'],
  'an event whose name is an object': ['42[{}]'],
  'an event whose name is null': ['42[null]'],
  'an event whose name is a boolean': ['42[true]'],
  'CONNECT with an array': ['40/chat,[1]'],
  'CONNECT with a string': ['40/chat,"abc"'],
  'DISCONNECT with a payload': ['41{}'],
  'an ACK that is no array': ['430{}'],
  'CONNECT_ERROR from a client': ['44{"message":"x"}'],
  'text while attachments are missing': [`451-["echo",${holder(0)}]`, '42["echo"]'],
  'binary without a header': [Buffer.from([1, 2, 3])],
  'a placeholder out of range': [`451-["echo",${holder(1)}]`, Buffer.from([1])],
  'a negative placeholder': [`451-["echo",${holder(-1)}]`, Buffer.from([1])],
  'a placeholder that is a word': ['451-["echo",{"_placeholder":true,"num":"length"}]', Buffer.from([1])],
  'CONNECT to a namespace already joined': ['40'],
  'an event for a namespace not joined': ['42/chat,["echo"]'],
  'an ack for a namespace not joined': ['43/chat,0[]'],
  'DISCONNECT of a namespace not joined': ['41/chat,'],
  'an event for a namespace nobody declared': ['42/nowhere,["echo"]'],
};

/** Packets the npm parser 4.2.7 lets through, though they are not what 2.1 says a packet is. */
const rejectedByWeir = {
  'an event without JSON': ['42'],
  'an ACK without JSON': ['430'],
  'a fractional placeholder': [`451-["echo",${holder(0.5)}]`, Buffer.from([1])],
};

async function assertClosesItsConnection(t, packets) {
  const ws = await RawWebSocket.open(t, server);
  const ids = [await ws.join(), await ws.join('/admin', { token: 'secret' })];
  for (const packet of packets) {
    if (Buffer.isBuffer(packet)) ws.sendBytes(packet);
    else ws.send(packet);
  }
  await ws.closed();
  for (const id of ids) {
    const { reason } = await server.disconnected(id);
    assert.ok(['forced close', 'forced server close', 'parse error'].includes(reason), reason);
    assert.deepEqual(await server.received(id), []);
  }
  await ws.gone();
  await witness.assertUndisturbed();
}

for (const [declare, cases] of [[conform, rejected], [weirOnly, rejectedByWeir]]) {
  for (const [what, packets] of Object.entries(cases)) {
    declare(`2.1 ${what} closes the whole connection and nothing else`, (t) => assertClosesItsConnection(t, packets));
  }
}

conform('2.1 the same over polling: the session closes', async (t) => {
  for (const packet of ['42["echo"', '47', '40[1]', 'bAQID', '42/chat,["echo"]']) {
    const peer = await Polling.open(t, server);
    await peer.join();
    await peer.begin(); // a GET for the close to go out with
    await peer.post(packet);
    await peer.gone();
  }
  await witness.assertUndisturbed();
});

conform('2.1 a packet before any CONNECT closes the connection', async (t) => {
  for (const packet of ['42["echo"]', '41', '430[]', '40[1]', '40"x"']) {
    const ws = await RawWebSocket.open(t, server);
    ws.send(packet);
    await ws.closed();
    await ws.gone();
  }
  await witness.assertUndisturbed();
});

conform('2.1 attachments that never come: the connection closes as ever, no event is delivered', async (t) => {
  const ws = await RawWebSocket.open(t, server);
  const id = await ws.join();
  ws.send(`452-["echo",${holder(0)},${holder(1)}]`);
  ws.sendBytes(Buffer.from([1]));
  ws.write({ op: opcode.close });
  await server.disconnected(id);
  assert.deepEqual(await server.received(id), []);
  await witness.assertUndisturbed();
});

conform('2.1 names out of Object.prototype are data', async (t) => {
  const ws = await RawWebSocket.open(t, server);
  await ws.join();
  for (const name of ['__proto__', 'constructor', 'hasOwnProperty', 'toString']) {
    ws.send(`40/${name},`);
    assert.equal(await ws.text(), `44/${name},{"message":"Invalid namespace"}`);
  }
  ws.send('42["echo",{"x":{"y":1}}]');
  assert.equal(await ws.text(), '42["echo",{"x":{"y":1}}]');
});

const garbage = {
  'not HTTP at all': 'hello\r\n\r\n',
  'no version': 'GET /socket.io/\r\n\r\n',
  'a header without a colon': 'GET /socket.io/ HTTP/1.1\r\nHost: x\r\nbroken\r\n\r\n',
  'two different lengths': 'POST /socket.io/ HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd',
  'a negative length': 'POST /socket.io/ HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n',
  'no host': 'GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\n\r\n',
};
for (const [what, bytes] of Object.entries(garbage)) {
  conform(`1.1 bad HTTP is refused with 400 and the connection ends: ${what}`, async (t) => {
    const wire = await Wire.open(t, server.port);
    wire.write(bytes);
    assert.match((await wire.rest()).toString('latin1'), /^HTTP\/1\.1 400 /);
    await witness.assertUndisturbed();
  });
}

conform('1.1 a query that does not decode is refused, not a crash', async (t) => {
  for (const query of ['EIO=4&transport=polling&x=%', 'EIO=4&transport=polling&%ff=%c0%af', '&&&=&EIO=4&transport=polling', '%']) {
    const { status } = await request(t, server, { path: `/socket.io/?${query}` });
    assert.ok([200, 400].includes(status), `${query}: ${status}`);
  }
  await witness.assertUndisturbed();
});

conform('1.4 a POST body of bad packets closes that session only', async (t) => {
  const bodies = ['', '\x1e', '4\x1e', 'b!!!!', Buffer.from([0x34, 0xff, 0xfe])];
  for (const body of bodies) {
    const peer = await Polling.open(t, server);
    await peer.join();
    await (await peer.begin({ method: 'POST', body })).response;
  }
  await witness.assertUndisturbed();
});

conform('1.5 half a frame and then nothing costs nobody else anything', async (t) => {
  for (const bytes of [[0x81], [0x81, 0xfe], [0x81, 0xff, 0, 0, 0], [0x81, 0x85, 1, 2, 3]]) {
    const ws = await RawWebSocket.open(t, server);
    await ws.join();
    ws.wire.write(Buffer.from(bytes));
  }
  await witness.assertUndisturbed();
});

conform('1.5 random bytes on a websocket end that connection', async (t) => {
  const ws = await RawWebSocket.open(t, server);
  const id = await ws.join();
  ws.wire.write(Buffer.from(Array.from({ length: 4_096 }, (_, n) => (n * 197 + 0x43) & 0xff)));
  await server.disconnected(id);
  await witness.assertUndisturbed();
});

conform('1.5 an unfinished request head holds nobody up', async (t) => {
  const wire = await Wire.open(t, server.port);
  wire.write(requestHead('GET', enginePath({ EIO: 4, transport: 'polling' }), { Host: 'x' }).subarray(0, 30));
  await Polling.open(t, server);
  await witness.assertUndisturbed();
});

weirOnly('1.4 text that is not UTF-8 in a POST closes the session', async (t) => {
  const peer = await Polling.open(t, server);
  await peer.join();
  await (await peer.begin({ method: 'POST', body: Buffer.from([0x34, 0x32, 0x5b, 0x22, 0xff, 0x22, 0x5d]) })).response;
  await peer.gone();
});

conform('1.5 a flood of control frames is answered and survived', async (t) => {
  const ws = await RawWebSocket.open(t, server);
  await ws.join();
  ws.write(...Array.from({ length: 200 }, () => frame({ op: opcode.ping, payload: 'p' })));
  ws.send('42["echo",1]');
  let pongs = 0;
  let got = await ws.frame();
  for (; got.op === opcode.pong; got = await ws.frame()) pongs += 1;
  assert.equal(got.payload.toString(), '42["echo",1]');
  assert.ok(pongs >= 1 && pongs <= 200, `${pongs} pongs`); // only the latest ping must be answered (RFC 6455 5.5.3)
});
