// protocol.md 2.1: the text form of Socket.IO packets and the state rules. What must be refused is in bad-input.
import assert from 'node:assert/strict';
import { ask, connect } from './lib/clients.mjs';
import { Polling } from './lib/raw.mjs';
import { RawWebSocket } from './lib/raw-websocket.mjs';
import { conform, overTransports, weirOnly } from './lib/suite.mjs';
import { onWeir, startServer } from './lib/target.mjs';
import { collect, next } from './lib/wait.mjs';

const [server, impatient] = await Promise.all([startServer(), startServer({ connectTimeout: 1_000 })]);

async function joined(t, Peer = RawWebSocket) {
  const peer = await Peer.open(t, server);
  await peer.join();
  return peer;
}

async function send(peer, packet) {
  if (peer.send) peer.send(packet);
  else await peer.post(packet);
}

async function assertAnswer(peer, packet, answer) {
  await send(peer, packet);
  assert.equal(await peer.packet(), answer);
}

for (const Peer of [RawWebSocket, Polling]) {
  conform(`2.1 the text of every packet type [${Peer.name}]`, async (t) => {
    const peer = await Peer.open(t, server);
    const id = await peer.join();
    assert.match(id, /^[A-Za-z0-9_-]{20,}$/);
    await peer.join('/chat');
    await peer.join('/admin', { token: 'secret' });
    await assertAnswer(peer, '42["echo",1]', '42["echo",1]');
    await assertAnswer(peer, '42/chat,["echo",1]', '42/chat,["echo",1]');
    await assertAnswer(peer, '4212["ack",1,"2"]', '4312[1,"2"]');
    await assertAnswer(peer, '42/chat,0["ack"]', '43/chat,0[]');
    await send(peer, '42["server-ack",{"timeout":9000},"a"]');
    const [, ackId] = /^42(\d+)\["question","a"\]$/.exec(await peer.packet());
    await assertAnswer(peer, `43${ackId}["b"]`, '42["answer",{"value":["b"]}]');
    await assertAnswer(peer, '42/chat,["disconnect-me",false]', '41/chat,');
    await assertAnswer(peer, '40/nowhere,', '44/nowhere,{"message":"Invalid namespace"}');
    await assertAnswer(peer, '42["disconnect-me",false]', '41');
  });
}

conform('2.1 CONNECT is answered with the sid alone', async (t) => {
  const ws = await RawWebSocket.open(t, server);
  for (const [packet, prefix] of [['40', '40'], ['40/chat,', '40/chat,'], ['40/admin,{"token":"secret"}', '40/admin,']]) {
    ws.send(packet);
    const answer = await ws.text();
    assert.ok(answer.startsWith(prefix));
    assert.deepEqual(Object.keys(JSON.parse(answer.slice(prefix.length))), ['sid']);
  }
});

conform('2.1 CONNECT may carry an empty object, and its comma may be missing', async (t) => {
  const ws = await RawWebSocket.open(t, server);
  ws.send('40{}');
  assert.match(await ws.text(), /^40\{/);
  ws.send('40/chat');
  assert.match(await ws.text(), /^40\/chat,\{/);
});

conform('2.1 numeric event names and ack ids of many digits are accepted', async (t) => {
  const ws = await joined(t);
  ws.send('42[1,2]');
  if (onWeir) assert.match(await ws.text(), /^42\["weir:error",.*"code":"no_handler"/);
  await assertAnswer(ws, '42900719925474099["ack"]', '43900719925474099[]');
  await assertAnswer(ws, '42007["ack"]', '437[]');
});

weirOnly('2.1 ack ids up to 2^63 keep their digits', async (t) => {
  const ws = await joined(t);
  for (const id of ['9007199254740993', '9223372036854775807']) await assertAnswer(ws, `42${id}["ack"]`, `43${id}[]`);
});

weirOnly('2.1 arguments come back byte for byte', async (t) => {
  const ws = await joined(t);
  for (const json of ['1.0', '12345678901234567890', '1e2', '"\\u00e9\\/"', '{"b":1,"a":2,"b":3}']) {
    await assertAnswer(ws, `42["echo",${json}]`, `42["echo",${json}]`);
  }
});

conform('2.1 JSON from the server is compact; undefined is null, a date is its ISO string', async (t) => {
  const ws = await joined(t);
  await assertAnswer(ws, '42["values"]', '42["values",null,null,"1970-01-01T00:00:00.000Z",1]');
  // An argument that came in and goes out again is decoded and encoded by npm; Weir passes it on byte for byte.
  const arg = onWeir ? '{ "a" : [ 1 , 2 ] }' : '{"a":[1,2]}';
  await assertAnswer(ws, '42[ "echo" , { "a" : [ 1 , 2 ] } ]', `42["echo",${arg}]`);
});

conform('2.1 binary is replaced depth-first and follows in num order', async (t) => {
  const ws = await joined(t);
  ws.send('42["binary",1]');
  const [p0, p1, p2] = [0, 1, 2].map((num) => `{"_placeholder":true,"num":${num}}`);
  assert.equal(await ws.message(), `453-["binary",{"value":1,"list":[${p0},{"deep":${p1}}],"text":"x"},${p2}]`);
  for (const bytes of [[1, 2, 3], [4], [5]]) assert.deepEqual(await ws.message(), Buffer.from(bytes));
});

conform('2.1 placeholders may come in any order and twice', async (t) => {
  const ws = await joined(t);
  ws.send('452-["echo",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]');
  ws.sendBytes(Buffer.from([0]));
  ws.sendBytes(Buffer.from([1]));
  const header = await ws.message();
  assert.match(header, /^452-\["echo",/);
  const attachments = [await ws.message(), await ws.message()];
  const order = [...header.matchAll(/"num":(\d)/g)].map(([, num]) => attachments[num][0]);
  assert.deepEqual(order, [1, 0]);
});

conform('2.1 a binary acknowledgement', async (t) => {
  const ws = await joined(t);
  ws.send('451-7["ack",{"_placeholder":true,"num":0}]');
  ws.sendBytes(Buffer.from('bytes'));
  assert.equal(await ws.message(), '461-7[{"_placeholder":true,"num":0}]');
  assert.deepEqual(await ws.message(), Buffer.from('bytes'));
});

conform('2.1 over polling attachments are b packets behind their header', async (t) => {
  const peer = await joined(t, Polling);
  await peer.post('451-7["ack",{"_placeholder":true,"num":0}]', 'bAQI=');
  assert.equal(await peer.packet(), '461-7[{"_placeholder":true,"num":0}]');
  assert.equal(await peer.packet(), 'bAQI=');
});

conform('2.1 ten attachments are accepted', async (t) => {
  const ws = await joined(t);
  const holders = Array.from({ length: 10 }, (_, num) => `{"_placeholder":true,"num":${num}}`).join();
  ws.send(`4510-["echo",${holders}]`);
  for (let n = 0; n < 10; n += 1) ws.sendBytes(Buffer.from([n]));
  assert.equal(await ws.message(), `4510-["echo",${holders}]`);
  for (let n = 0; n < 10; n += 1) assert.deepEqual(await ws.message(), Buffer.from([n]));
});

overTransports('2.1 nothing is put between a header and its attachments', async (t, transport) => {
  const [speaker, ...others] = [await connect(t, server, { transport }), await connect(t, server), await connect(t, server)];
  const packets = [];
  speaker.io.engine.on('packet', ({ type, data }) => type === 'message' && packets.push(data));
  const rounds = 40;
  const done = collect(speaker, 'echo', rounds);
  const noise = collect(speaker, 'noise', rounds * others.length);
  for (let n = 0; n < rounds; n += 1) {
    speaker.emit('echo', Buffer.from([n]), { deep: Buffer.from([n]) });
    for (const other of others) other.emit('to', { rooms: [speaker.id], event: 'noise', args: [n] });
  }
  await Promise.all([done, noise]);
  let owed = 0;
  for (const packet of packets) {
    assert.equal(typeof packet === 'string', owed === 0, 'text and binary are interleaved');
    owed = typeof packet === 'string' ? Number(/^[56](\d+)-/.exec(packet)?.[1] ?? 0) : owed - 1;
  }
  assert.equal(owed, 0);
});

overTransports('2.1 binary anywhere in the arguments survives the round trip', async (t, transport) => {
  const socket = await connect(t, server, { transport });
  const echoed = next(socket, 'echo');
  socket.emit('echo', new Uint8Array([1, 2]), { a: [new Uint8Array([3]).buffer, { b: Buffer.from([]) }], text: 'é' });
  const [first, { a: [second, { b }], text }] = await echoed;
  assert.deepEqual([[...first], [...second], [...b], text], [[1, 2], [3], [], 'é']);
  const answer = await ask(socket, 'ack', { deep: { deeper: Buffer.from('x') } });
  assert.deepEqual([...answer.deep.deeper], [...Buffer.from('x')]);
});

overTransports('2.1 JSON values of every kind survive the round trip', async (t, transport) => {
  const socket = await connect(t, server, { transport });
  const values = [null, true, false, 0, -1.5, 1e21, '', '"\\\u2028\u0000é€😀\x1e', [], {}, { '': [[], [null]] }];
  const echoed = next(socket, 'echo');
  socket.emit('echo', ...values);
  assert.deepEqual(await echoed, values);
});

conform('2.1 state: after DISCONNECT the connection stays, CONNECT may come again and gets a new id', async (t) => {
  const ws = await RawWebSocket.open(t, server);
  const first = await ws.join();
  ws.send('41');
  assert.equal((await server.disconnected(first)).reason, 'client namespace disconnect');
  assert.notEqual(await ws.join(), first);
  await assertAnswer(ws, '42["echo",1]', '42["echo",1]');
});

conform('2.1 state: connectTimeout closes a connection that joins no namespace, and does not start again', async (t) => {
  const left = await RawWebSocket.open(t, impatient);
  const id = await left.join();
  left.send('41');
  await impatient.disconnected(id);
  const never = await RawWebSocket.open(t, impatient); // younger, so its timeout ends later
  await never.closed();
  await never.gone();
  await left.join();
  await assertAnswer(left, '42["echo",1]', '42["echo",1]');
});

conform('2.1 state: a refused CONNECT does not hold connectTimeout off', async (t) => {
  const ws = await RawWebSocket.open(t, impatient);
  ws.send('40/nowhere,');
  assert.equal(await ws.text(), '44/nowhere,{"message":"Invalid namespace"}');
  await ws.closed();
});

conform('2.1 state: an ACK with an unknown id is ignored', async (t) => {
  const ws = await joined(t);
  for (const ack of ['43999[1]', '430[]']) ws.send(ack);
  await assertAnswer(ws, '42["echo",1]', '42["echo",1]');
});
