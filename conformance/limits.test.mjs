// limits.inbound of configuration.md, with the official client: what becomes of one that sends more than it may. The reference has no
// such limits, so this is Weir's alone.
import assert from 'node:assert/strict';
import { ask, connect } from './lib/clients.mjs';
import { onWeir, startServer } from './lib/target.mjs';
import { weirOnly } from './lib/suite.mjs';
import { deadline, next } from './lib/wait.mjs';

const ages = 3_600_000; // ms: a window that is not over while a test runs
const namespaces = [{ path: '/feed', topics: ['prices'], clientPublish: 'allow' }];

/** A server with these limits, or nothing where the target is the reference. */
const limited = (inbound) => (onWeir ? startServer({ namespaces, inbound }) : undefined);

const slow = await limited([{ events: 'mark', messages: 5, windowMs: 500, action: 'throttle' }]);
const strict = await limited([{ events: 'echo', messages: 2, windowMs: ages, action: 'drop' }, { events: 'publish', topics: 'prices', messages: 1, windowMs: ages, action: 'drop' }]);
const severe = await limited([{ events: 'echo', messages: 2, windowMs: ages, action: 'disconnect' }]);

for (const transport of ['websocket', 'polling']) {
  weirOnly(`4.6 a client that is throttled loses nothing, keeps its order, and stays connected [${transport}]`, async (t) => {
    const socket = await connect(t, slow, { namespace: '/feed', transport });
    let left;
    socket.on('disconnect', (reason) => (left = reason));
    const names = Array.from({ length: 25 }, (_, n) => `${transport} ${n}`);
    for (const name of names) socket.emit('mark', name);
    await ask(socket, 'weir:subscribe', { topic: 'prices' }); // answered when all before it are done with
    const marks = await slow.control('GET', '/marks');
    assert.deepEqual(marks.filter((mark) => mark.startsWith(transport)), names);
    assert.equal(left, undefined);
    assert.equal(socket.connected, true);
  });
}

weirOnly('4.2 an event beyond a limit that drops: its acknowledgement says so, without one weir:error does', async (t) => {
  const socket = await connect(t, strict, { namespace: '/feed' });
  for (const n of [1, 2]) {
    const echoed = next(socket, 'echo');
    socket.emit('echo', n);
    assert.deepEqual(await echoed, [n]);
  }
  const refused = await ask(socket, 'echo', 3);
  assert.deepEqual({ ok: refused.ok, code: refused.code, retryable: refused.retryable }, { ok: false, code: 'limited', retryable: true });
  assert.match(refused.reason, /^more than 2 events or 1048576 bytes of echo in 1h0m0s for one socket/);
  const told = next(socket, 'weir:error');
  socket.emit('echo', 4);
  assert.deepEqual((await told)[0], { ok: false, event: 'echo', code: 'limited', reason: refused.reason, retryable: true });
  assert.equal((await ask(socket, 'publish', { topic: 'prices', payload: 1 })).ok, true);
  assert.equal((await ask(socket, 'weir:publish', { topic: 'prices', payload: 2 })).code, 'limited');
  assert.equal(socket.connected, true);
});

weirOnly('4.6 a client that is disconnected for sending too much is told why, comes back twice by itself, and then no more', async (t) => {
  const socket = await connect(t, severe, { namespace: '/feed', reconnection: true, reconnectionDelay: 1, reconnectionDelayMax: 5 });
  for (const last of [false, false, true]) {
    const told = next(socket, 'weir:error');
    const gone = next(socket, 'disconnect');
    for (const n of [1, 2, 3]) socket.emit('echo', n);
    const [why] = await told;
    assert.equal(why.code, 'limited');
    const [reason] = await gone;
    assert.equal(reason, last ? 'io server disconnect' : 'transport close');
    if (!last) await deadline(new Promise((resolve) => socket.once('connect', resolve)), 'the client comes back');
  }
  assert.equal(socket.active, false);
});
