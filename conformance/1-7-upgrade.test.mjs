// protocol.md 1.7: from polling to websocket, without loss or reordering.
import assert from 'node:assert/strict';
import { ask, connect, connected, fresh, socketOf } from './lib/clients.mjs';
import { Polling } from './lib/raw.mjs';
import { RawWebSocket } from './lib/raw-websocket.mjs';
import { conform } from './lib/suite.mjs';
import { startServer } from './lib/target.mjs';
import { collect, deadline } from './lib/wait.mjs';

const [server, hasty, stay] = await Promise.all([
  startServer(),
  startServer({ upgradeTimeout: 250 }),
  startServer({ allowUpgrades: false }),
]);

const event = (...args) => `42${JSON.stringify(args)}`;

async function joined(t, on = server) {
  const peer = await Polling.open(t, on);
  peer.id = await peer.join();
  return peer;
}

function dial(t, peer) {
  return RawWebSocket.dial(t, peer.server, { query: { sid: peer.sid } });
}

async function probe(t, peer) {
  const ws = await dial(t, peer);
  ws.send('2probe');
  assert.equal(await ws.text(), '3probe'); // the first frame: no open packet
  return ws;
}

async function assertPollingLives(peer, text = 'alive') {
  assert.ok(await peer.alive());
  await peer.post(event('echo', text));
  assert.equal(await peer.packet(), event('echo', text));
}

conform('1.7 the probe is answered, a pending GET gets a noop, and after 5 the websocket is current', async (t) => {
  const peer = await joined(t);
  const poll = await peer.begin();
  const ws = await probe(t, peer);
  assert.equal((await poll.response).text, '6');
  ws.send('5');
  ws.send(event('echo', 'over'));
  assert.equal(await ws.text(), event('echo', 'over'));
  assert.ok(await ws.alive()); // polling is refused with code 3 now
});

conform('1.7 a GET that comes after the probe is answered with a noop too', async (t) => {
  const peer = await joined(t);
  await probe(t, peer);
  assert.equal((await peer.get()).text, '6');
});

conform('1.7 what is sent between probe and 5 reaches a pending GET or waits for the websocket', async (t) => {
  const peer = await joined(t);
  const ws = await probe(t, peer);
  const mark = fresh('mark');
  await peer.post(event('echo', 1), event('echo', 2), event('mark', mark));
  await server.marked(mark);
  ws.send('5');
  assert.equal(await ws.text(), event('echo', 1));
  assert.equal(await ws.text(), event('echo', 2));
  ws.send(event('echo', 3));
  assert.equal(await ws.text(), event('echo', 3));
});

conform('1.7 while probing, polling still delivers', async (t) => {
  const peer = await joined(t);
  await probe(t, peer);
  await peer.post(event('echo', 'by polling'));
  let packet = await peer.packet();
  while (packet === '6') packet = await peer.packet();
  assert.equal(packet, event('echo', 'by polling'));
});

conform('1.7 nothing is lost or reordered while a stock client upgrades under load, both ways', async (t) => {
  for (let round = 0; round < 5; round += 1) {
    const socket = socketOf(t, server, { transport: 'upgraded' });
    const total = 400;
    const down = collect(socket, 'count', total);
    const up = collect(socket, 'echo', total);
    await connected(socket);
    for (let n = 0; n < total; n += 20) {
      socket.emit('count', n, n + 20);
      for (let m = n; m < n + 20; m += 1) socket.emit('echo', m);
      await new Promise(setImmediate);
    }
    const numbers = Array.from({ length: total }, (_, n) => n);
    assert.deepEqual((await down).flat(), numbers);
    assert.deepEqual((await up).flat(), numbers);
  }
});

conform('1.7 binary packets survive the upgrade with their attachments in place', async (t) => {
  const socket = socketOf(t, server, { transport: 'upgraded' });
  const echoes = collect(socket, 'echo', 60);
  await connected(socket);
  for (let n = 0; n < 60; n += 1) {
    socket.emit('echo', n, Buffer.from([n]), { deep: [Buffer.from([n, n])] });
    if (n % 5 === 0) await new Promise(setImmediate);
  }
  (await echoes).forEach(([number, bytes, { deep }], n) => {
    assert.deepEqual([number, [...bytes], [...deep[0]]], [n, [n], [n, n]]);
  });
});

for (const packet of ['4hello', '2', '2other', '6', '3probe']) {
  conform(`1.7 ${packet} on the probing websocket closes it; the polling session lives on`, async (t) => {
    const peer = await joined(t);
    const ws = await dial(t, peer);
    ws.send(packet);
    await ws.closed();
    await assertPollingLives(peer);
  });
}

conform('1.7 upgradeTimeout: the probing websocket is closed, the session lives on', async (t) => {
  for (const send of [[], ['2probe']]) {
    const peer = await joined(t, hasty);
    const ws = await dial(t, peer);
    for (const packet of send) ws.send(packet);
    await ws.closed();
    await peer.post(event('echo', 1));
    let packet = await peer.packet();
    while (packet === '6') packet = await peer.packet();
    assert.equal(packet, event('echo', 1));
    assert.ok(await peer.alive());
  }
});

conform('1.7 a probing websocket that goes away leaves the session to polling', async (t) => {
  const peer = await joined(t);
  const ws = await dial(t, peer);
  ws.wire.socket.destroy();
  await assertPollingLives(peer);
  const again = await probe(t, peer);
  again.send('5');
  again.send(event('echo', 'second try'));
  assert.equal(await again.text(), event('echo', 'second try'));
});

conform('1.7 a second websocket while upgrading is accepted, then closed; the first goes on', async (t) => {
  const peer = await joined(t);
  const first = await probe(t, peer);
  const second = await dial(t, peer);
  await second.closed();
  first.send('5');
  first.send(event('echo', 'first'));
  assert.equal(await first.text(), event('echo', 'first'));
});

conform('1.7 a second websocket after the upgrade is accepted, then closed; the session is unaffected', async (t) => {
  const peer = await joined(t);
  const first = await probe(t, peer);
  first.send('5');
  first.send(event('echo', 1));
  assert.equal(await first.text(), event('echo', 1));
  const second = await dial(t, peer);
  await second.closed();
  first.send(event('echo', 2));
  assert.equal(await first.text(), event('echo', 2));
});

// npm socket.io closes it only when upgradeTimeout has passed.
conform('1.7 a session that began on websocket does not take a second one over', async (t) => {
  const ws = await RawWebSocket.open(t, hasty);
  await ws.join();
  const second = await RawWebSocket.dial(t, hasty, { query: { sid: ws.sid } });
  await second.closed();
  ws.send(event('echo', 1));
  assert.equal(await ws.text(), event('echo', 1));
});

conform('1.7 the stock client upgrades, and its socket does not notice', async (t) => {
  const socket = socketOf(t, server, { transport: 'upgraded' });
  const upgraded = new Promise((resolve) => socket.io.once('open', () => socket.io.engine.once('upgrade', resolve)));
  await connected(socket);
  const { id } = socket;
  const transport = await deadline(upgraded, 'upgrade');
  assert.equal(transport.name, 'websocket');
  assert.deepEqual(await ask(socket, 'ack', 'same'), 'same');
  assert.equal(socket.id, id);
});

conform('1.7 without allowUpgrades a stock client stays on polling', async (t) => {
  const socket = await connect(t, stay, { transports: ['polling', 'websocket'] });
  for (let n = 0; n < 5; n += 1) await ask(socket, 'ack', n);
  assert.equal(socket.io.engine.transport.name, 'polling');
});
