// protocol.md 4 and protocol.md 3.1-3.6: topics, as StreamFence clients know them. The server is driven by its management
// API (protocol.md 5). The reference has no topics, so every test here is Weir's alone.
import assert from 'node:assert/strict';
import { ask, barrier, connect, fresh } from './lib/clients.mjs';
import { onWeir, startServer } from './lib/target.mjs';
import { overTransports, weirOnly } from './lib/suite.mjs';
import { collect, next } from './lib/wait.mjs';

const reliable = {
  deliveryMode: 'AT_LEAST_ONCE',
  overflowAction: 'REJECT_NEW',
  ackTimeoutMs: 600,
  maxRetries: 3,
  retryBackoff: 1,
  maxInFlight: 8,
};
const namespaces = [
  {
    path: '/feed',
    topics: [
      'prices',
      'news',
      'gap', // nobody but one test subscribes
      'ticks-*',
      { name: 'board*', snapshot: true, overflowAction: 'COALESCE', key: '/k' },
      { name: 'alerts', ...reliable },
      { name: 'one-by-one', ...reliable, maxInFlight: 1, ackTimeoutMs: 60_000 },
    ],
  },
  { path: '/shop', dialect: 'envelope', topics: ['prices', { name: 'order-confirmed', ...reliable }] },
  { path: '/auto', autoSubscribe: ['news'], topics: ['news', 'prices'] },
  { path: '/open', clientPublish: 'allow', clientHistory: 'allow', topics: ['talk', { name: 'chart*', history: 60 }] },
];
const server = onWeir ? await startServer({ namespaces }) : undefined;

async function publish(namespace, topic, payload, options = {}) {
  const response = await fetch(`http://127.0.0.1:${server.managementPort}/api/publish`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ namespace, topic, payload, ...options }),
  });
  const answer = await response.json();
  assert.equal(response.status, 200, JSON.stringify(answer));
  return answer;
}

/** A client subscribed to the topics; `heard` holds what it got, [event, ...args], in order. */
async function subscriber(t, namespace, topics, { transport = 'websocket', ...options } = {}) {
  const socket = await connect(t, server, { namespace, transport });
  socket.heard = [];
  socket.onAny((...event) => socket.heard.push(event));
  for (const topic of topics) {
    const answer = await ask(socket, 'weir:subscribe', { topic, ...options });
    assert.equal(answer.ok, true, JSON.stringify(answer));
  }
  return socket;
}

function assertRefusal(answer, retryable) {
  assert.equal(answer.ok, false);
  assert.match(answer.code, /^[a-z_]+$/);
  assert.equal(typeof answer.reason, 'string');
  assert.equal(answer.retryable, retryable);
}

const ackOf = ({ topic, messageId }) => ({ topic, messageId });

weirOnly('3.2 the client of the StreamFence article, verbatim', async (t) => {
  const socket = await connect(t, server, { namespace: '/shop' });
  const envelopes = collect(socket, 'order-confirmed', 2);
  socket.on('order-confirmed', (envelope) => socket.emit('ack', { topic: envelope.metadata.topic, messageId: envelope.metadata.messageId }));
  socket.emit('subscribe', { topic: 'order-confirmed' });
  await barrier(socket);
  const first = await publish('/shop', 'order-confirmed', { order: 1 });
  await publish('/shop', 'order-confirmed', { order: 2 });
  const [[one], [two]] = await envelopes;
  assert.deepEqual([one.payload, two.payload], [{ order: 1 }, { order: 2 }]);
  assert.equal(one.metadata.namespace, '/shop');
  assert.equal(one.metadata.topic, 'order-confirmed');
  assert.equal(one.metadata.messageId, first.messageId);
  assert.equal(one.metadata.ackRequired, true);
});

for (const [name, prefix] of [['bare names', ''], ['weir: names', 'weir:']]) {
  weirOnly(`3.1 subscribe and unsubscribe with an ack callback are answered ok: ${name}`, async (t) => {
    const socket = await connect(t, server, { namespace: '/feed' });
    assert.equal((await ask(socket, `${prefix}subscribe`, { topic: 'prices' })).ok, true);
    assert.equal((await ask(socket, `${prefix}subscribe`, { topic: 'prices' })).ok, true); // twice is harmless
    const heard = collect(socket, 'prices', 2);
    await publish('/feed', 'prices', 1);
    await publish('/feed', 'prices', 2);
    assert.deepEqual(await heard, [[1], [2]]);
    assert.equal((await ask(socket, `${prefix}unsubscribe`, { topic: 'prices' })).ok, true);
  });
}

weirOnly('3.1 the bare names go to the application when the argument names no topic', async (t) => {
  const socket = await connect(t, server, { namespace: '/feed' });
  assert.deepEqual(await ask(socket, 'ack', { messageId: 'x' }), { messageId: 'x' }); // the fixture's own event
  assert.equal((await ask(socket, 'subscribe', 'prices')).code, 'invalid'); // nothing handles it: told the right shape
});

weirOnly('3.1 the bare names go to the application where no topics are declared', async (t) => {
  const socket = await connect(t, server);
  const told = next(socket, 'weir:error');
  socket.emit('subscribe', { topic: 'prices' }, () => assert.fail('acknowledged'));
  const [error] = await told;
  assert.equal(error.code, 'no_handler');
  assert.equal(error.event, 'subscribe');
});

weirOnly('3.1 an unknown topic is refused in the answer, or without a callback by weir:error', async (t) => {
  const socket = await connect(t, server, { namespace: '/feed' });
  for (const event of ['subscribe', 'weir:subscribe', 'weir:unsubscribe']) {
    assertRefusal(await ask(socket, event, { topic: 'nothing' }), false);
  }
  const told = next(socket, 'weir:error');
  socket.emit('subscribe', { topic: 'nothing' });
  const [error] = await told;
  assert.match(error.code, /^[a-z_]+$/);
  assert.equal(typeof error.reason, 'string');
  await barrier(socket);
});

weirOnly('3.1 a malformed delivery event is refused, the connection lives', async (t) => {
  const socket = await connect(t, server, { namespace: '/feed' });
  for (const args of [[], [null], ['prices'], [{}], [{ topic: 1 }], [{ topic: '' }]]) {
    assertRefusal(await ask(socket, 'weir:subscribe', ...args), false);
  }
  await barrier(socket);
});

overTransports('3.2 js dialect, best effort: the event is the topic, the payload its only argument', async (t, transport) => {
  const socket = await subscriber(t, '/feed', ['prices'], { transport });
  const heard = collect(socket, 'prices', 4);
  const payloads = [{ v: 1 }, null, 'é', [1, [2]]];
  for (const payload of payloads) await publish('/feed', 'prices', payload);
  assert.deepEqual(await heard, payloads.map((payload) => [payload]));
}, weirOnly);

overTransports('3.2 js dialect, reliable: payload and metadata', async (t, transport) => {
  const socket = await subscriber(t, '/feed', ['alerts'], { transport });
  const heard = next(socket, 'alerts');
  const { messageId } = await publish('/feed', 'alerts', { v: 1 });
  const [payload, metadata, ...rest] = await heard;
  socket.emit('ack', ackOf(metadata));
  assert.deepEqual(payload, { v: 1 });
  assert.deepEqual(rest, []);
  assert.ok(metadata.offset >= 1 && metadata.epoch, 'the message tells its place in the topic');
  const { namespace, topic, ackRequired } = metadata;
  assert.deepEqual({ namespace, topic, ackRequired, messageId: metadata.messageId }, { namespace: '/feed', topic: 'alerts', ackRequired: true, messageId });
}, weirOnly);

weirOnly('3.2 envelope dialect, best effort: one argument, ackRequired false', async (t) => {
  const socket = await subscriber(t, '/shop', ['prices']);
  const heard = next(socket, 'prices');
  await publish('/shop', 'prices', [1]);
  const [envelope, ...rest] = await heard;
  assert.deepEqual(rest, []);
  assert.deepEqual(Object.keys(envelope).sort(), ['metadata', 'payload']);
  assert.deepEqual(envelope.payload, [1]);
  assert.equal(envelope.metadata.ackRequired, false);
});

weirOnly('protocol.md 4 the shape may be chosen per subscription', async (t) => {
  const socket = await subscriber(t, '/feed', ['prices'], { shape: 'envelope' });
  const heard = next(socket, 'prices');
  await publish('/feed', 'prices', { v: 1 });
  const [{ payload, metadata }] = await heard;
  assert.deepEqual(payload, { v: 1 });
  assert.equal(metadata.topic, 'prices');
});

overTransports('protocol.md 4 a snapshot: the newest of each key, marked, before anything live', async (t, transport) => {
  const topic = fresh('board');
  const ids = [];
  for (const [k, v] of [[1, 'old'], [2, 'b'], [1, 'new']]) ids.push((await publish('/feed', topic, { k, v })).messageId);
  const socket = await connect(t, server, { namespace: '/feed', transport });
  const first = collect(socket, topic, 2);
  const answer = await ask(socket, 'weir:subscribe', { topic });
  assert.deepEqual(answer.snapshot, { values: 2, complete: true });
  const metadata = (messageId) => ({ namespace: '/feed', topic, messageId, ackRequired: false, snapshot: true });
  assert.deepEqual(await first, [[{ k: 2, v: 'b' }, metadata(ids[1])], [{ k: 1, v: 'new' }, metadata(ids[2])]]);
  const live = next(socket, topic); // published earlier, it would have taken the place of the value not sent yet
  await publish('/feed', topic, { k: 1, v: 'live' });
  assert.deepEqual(await live, [{ k: 1, v: 'live' }]);
}, weirOnly);

overTransports('protocol.md 4 the last 50 of a chart, marked, before anything live; its pages on request', async (t, transport) => {
  const topic = fresh('chart');
  for (let n = 0; n < 70; n += 1) await publish('/open', topic, n);
  await publish('/open', topic, 'hers', { to: { principal: 'alice' } });
  const socket = await connect(t, server, { namespace: '/open', transport });
  const first = collect(socket, topic, 50);
  const answer = await ask(socket, 'weir:subscribe', { topic, last: 50 });
  assert.deepEqual(answer.history, { messages: 50 });
  const got = await first;
  assert.deepEqual(got.map(([n]) => n), Array.from({ length: 50 }, (_, n) => n + 20));
  for (const [n, metadata] of got) assert.deepEqual([metadata.history, metadata.offset, metadata.epoch], [true, n + 1, answer.epoch]);
  const live = next(socket, topic);
  await publish('/open', topic, 'live');
  assert.deepEqual(await live, ['live']);
  const newest = await ask(socket, 'weir:history', { topic, limit: 2 });
  assert.deepEqual(newest.records.map((r) => r.payload), [69, 'live']);
  const page = await ask(socket, 'weir:history', { topic, from: 1, limit: 3, epoch: newest.epoch });
  assert.deepEqual([page.ok, page.lost, page.first, page.next, page.records.map((r) => r.payload)], [true, true, 13, 16, [12, 13, 14]]);
  const refused = await ask(socket, 'weir:history', { topic, from: 1, epoch: 'another' });
  assert.deepEqual([refused.ok, refused.code], [false, 'invalid']);
}, weirOnly);

weirOnly('3.2 all subscribers of a message see one messageId', async (t) => {
  const sockets = [await subscriber(t, '/feed', ['alerts']), await subscriber(t, '/feed', ['alerts'], { shape: 'envelope' })];
  const heard = sockets.map((socket) => next(socket, 'alerts'));
  const { messageId } = await publish('/feed', 'alerts', 1);
  const [[, js], [envelope]] = await Promise.all(heard);
  assert.deepEqual([js.messageId, envelope.metadata.messageId], [messageId, messageId]);
  sockets.forEach((socket) => socket.emit('weir:ack', ackOf(js)));
});

weirOnly('protocol.md 4 a topic declared with a star takes every name with its prefix', async (t) => {
  const socket = await subscriber(t, '/feed', ['ticks-AAPL', 'ticks-MSFT']);
  const heard = [next(socket, 'ticks-AAPL'), next(socket, 'ticks-MSFT')];
  await publish('/feed', 'ticks-AAPL', 1);
  await publish('/feed', 'ticks-MSFT', 2);
  assert.deepEqual(await Promise.all(heard), [[1], [2]]);
});

overTransports('3.4 a topic keeps its order', async (t, transport) => {
  const topic = fresh('ticks');
  const socket = await subscriber(t, '/feed', [topic], { transport });
  const heard = collect(socket, topic, 50);
  for (let n = 0; n < 50; n += 1) await publish('/feed', topic, n);
  assert.deepEqual((await heard).flat(), Array.from({ length: 50 }, (_, n) => n));
}, weirOnly);

weirOnly('3.1 unsubscribe ends delivery; what was published meanwhile is not seen after a new subscribe', async (t) => {
  const socket = await subscriber(t, '/feed', ['news']);
  await ask(socket, 'unsubscribe', { topic: 'news' });
  await publish('/feed', 'news', 'missed');
  await ask(socket, 'subscribe', { topic: 'news' });
  const heard = next(socket, 'news');
  await publish('/feed', 'news', 'seen');
  assert.deepEqual(await heard, ['seen']);
  assert.equal(socket.heard.filter(([event]) => event === 'news').length, 1);
});

weirOnly('3.5 not acknowledged: sent again with the same id and redelivered, 1 + maxRetries times in all', async (t) => {
  const socket = await subscriber(t, '/feed', ['alerts']);
  const sendings = collect(socket, 'alerts', 1 + reliable.maxRetries);
  const { messageId } = await publish('/feed', 'alerts', 'unheard');
  const copies = await sendings;
  assert.deepEqual(copies.map(([payload, metadata]) => [payload, metadata.messageId]), Array(4).fill(['unheard', messageId]));
  assert.deepEqual(copies.map(([, metadata]) => metadata.redelivered === true), [false, true, true, true]);

  // As many sendings of a second message pass without a fifth copy of the first.
  const second = collect(socket, 'alerts', 1 + reliable.maxRetries);
  await publish('/feed', 'alerts', 'later');
  assert.deepEqual((await second).map(([payload]) => payload), Array(4).fill('later'));
});

const waysToAck = {
  'the event ack': (socket, metadata) => socket.emit('ack', ackOf(metadata)),
  'the event weir:ack': (socket, metadata) => socket.emit('weir:ack', ackOf(metadata)),
  'the event weir:ack with a callback': async (socket, metadata) => {
    assert.equal((await ask(socket, 'weir:ack', ackOf(metadata))).ok, true);
  },
};
for (const [how, acknowledge] of Object.entries(waysToAck)) {
  weirOnly(`3.5 acknowledged by ${how}: not sent again`, async (t) => {
    const socket = await subscriber(t, '/feed', ['alerts']);
    const heard = next(socket, 'alerts');
    await publish('/feed', 'alerts', 'acked');
    const [, metadata] = await heard;
    await acknowledge(socket, metadata);
    const clock = collect(socket, 'alerts', 3);
    await publish('/feed', 'alerts', 'not acked'); // its redeliveries tell that the ack time-out has passed
    assert.deepEqual((await clock).map(([payload]) => payload), Array(3).fill('not acked'));
  });
}

weirOnly('protocol.md 4 subscribe with ack: callback: each message carries a Socket.IO ack', async (t) => {
  const socket = await connect(t, server, { namespace: '/feed' });
  const seen = [];
  socket.on('one-by-one', (payload, metadata, done) => {
    seen.push(payload);
    done();
  });
  assert.equal((await ask(socket, 'weir:subscribe', { topic: 'one-by-one', ack: 'callback' })).ok, true);
  const heard = collect(socket, 'one-by-one', 3); // maxInFlight is 1: each one waits for the ack before
  for (const n of [1, 2, 3]) await publish('/feed', 'one-by-one', n);
  await heard;
  assert.deepEqual(seen, [1, 2, 3]);
});

weirOnly('3.4 maxInFlight 1: the next message waits for the ack, and an unknown ack frees nothing', async (t) => {
  const socket = await subscriber(t, '/feed', ['one-by-one', 'prices']);
  const first = next(socket, 'one-by-one');
  await publish('/feed', 'one-by-one', 'a');
  await publish('/feed', 'one-by-one', 'b');
  const [, metadata] = await first;
  socket.emit('ack', { topic: 'one-by-one', messageId: 'no such message' });
  socket.emit('ack', { topic: 'prices', messageId: metadata.messageId });
  await barrier(socket);
  const other = next(socket, 'prices');
  await publish('/feed', 'prices', 'overtakes'); // topics of one client are independent
  await other;
  assert.deepEqual(socket.heard.filter(([event]) => event === 'one-by-one').map(([, payload]) => payload), ['a']);
  const second = next(socket, 'one-by-one');
  socket.emit('ack', ackOf(metadata));
  const [payload, after] = await second;
  assert.equal(payload, 'b');
  socket.emit('ack', ackOf(after));
});

weirOnly('W5 unsubscribe with an unacknowledged message does not wedge the topic', async (t) => {
  const socket = await subscriber(t, '/feed', ['one-by-one']);
  const first = next(socket, 'one-by-one');
  await publish('/feed', 'one-by-one', 'unacked');
  await first;
  await ask(socket, 'unsubscribe', { topic: 'one-by-one' });
  await ask(socket, 'subscribe', { topic: 'one-by-one' });
  const second = next(socket, 'one-by-one');
  await publish('/feed', 'one-by-one', 'fresh');
  assert.equal((await second)[0], 'fresh');
});

weirOnly('configuration.md autoSubscribe: a client that knows nothing of topics is subscribed at connect', async (t) => {
  const socket = await connect(t, server, { namespace: '/auto' });
  await barrier(socket);
  const heard = [];
  socket.onAny((event, payload) => heard.push([event, payload]));
  const news = next(socket, 'news');
  await publish('/auto', 'prices', 'not subscribed');
  await publish('/auto', 'news', 1);
  await news;
  await barrier(socket);
  assert.deepEqual(heard, [['news', 1]]);
});

weirOnly('configuration.md clientPublish deny: a publish is refused and reaches nobody', async (t) => {
  const [socket, listener] = [await connect(t, server, { namespace: '/feed' }), await subscriber(t, '/feed', ['prices'])];
  for (const event of ['publish', 'weir:publish']) {
    assertRefusal(await ask(socket, event, { topic: 'prices', payload: 'forged' }), false);
  }
  const told = next(socket, 'weir:error');
  socket.emit('publish', { topic: 'prices', payload: 'forged' });
  await told;
  const heard = next(listener, 'prices');
  await publish('/feed', 'prices', 'genuine');
  assert.deepEqual(await heard, ['genuine']);
});

for (const event of ['publish', 'weir:publish']) {
  weirOnly(`3.1 clientPublish allow: ${event} reaches all subscribers, the sender too`, async (t) => {
    const sockets = [await subscriber(t, '/open', ['talk']), await subscriber(t, '/open', ['talk'])];
    const heard = sockets.map((socket) => next(socket, 'talk'));
    assert.equal((await ask(sockets[0], event, { topic: 'talk', payload: { text: 'hi' } })).ok, true);
    assert.deepEqual(await Promise.all(heard), [[{ text: 'hi' }], [{ text: 'hi' }]]);
    assertRefusal(await ask(sockets[0], event, { topic: 'nothing', payload: 1 }), false);
  });
}

weirOnly('D1 an event emitted under the name of a topic keeps its recipients and arguments', async (t) => {
  const [inside, outside] = [await connect(t, server, { namespace: '/feed' }), await subscriber(t, '/feed', ['prices'])];
  await ask(inside, 'join', 'watchers');
  const heard = next(inside, 'prices');
  await ask(inside, 'to', { rooms: ['watchers'], event: 'prices', args: [{ v: 1 }, 'second'], self: true });
  assert.deepEqual(await heard, [{ v: 1 }, 'second']);
  await barrier(outside);
  assert.deepEqual(outside.heard, []);
});

weirOnly('3.6 a reconnected client is not subscribed until it says so', async (t) => {
  const socket = await subscriber(t, '/feed', ['gap']);
  socket.disconnect();
  const again = next(socket, 'connect');
  socket.connect();
  await again;
  const { subscribers } = await publish('/feed', 'gap', 'nobody is there', { receipt: true });
  assert.equal(subscribers, 0);
  assert.equal((await ask(socket, 'subscribe', { topic: 'gap' })).ok, true);
  const heard = next(socket, 'gap');
  await publish('/feed', 'gap', 'here');
  assert.deepEqual(await heard, ['here']);
});

weirOnly('3.1 topics of one namespace are unknown in another', async (t) => {
  const socket = await connect(t, server, { namespace: '/open' });
  assertRefusal(await ask(socket, 'subscribe', { topic: 'prices' }), false);
});

weirOnly('3.2 the answer of subscribe comes before the first delivery', async (t) => {
  const socket = await connect(t, server, { namespace: '/feed' });
  const order = [];
  socket.on('prices', () => order.push('delivery'));
  const heard = next(socket, 'prices');
  socket.emit('subscribe', { topic: 'prices' }, () => order.push('answer'));
  const publisher = (async () => {
    while (!order.includes('delivery')) await publish('/feed', 'prices', 1);
  })();
  await Promise.all([heard, publisher]);
  assert.equal(order[0], 'answer');
});
