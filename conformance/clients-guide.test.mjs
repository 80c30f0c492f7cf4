// docs/guide/clients.md: its program, as it stands there, and the statements of the guide that no other file holds.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { ask, connect } from './lib/clients.mjs';
import { onWeir, startServer } from './lib/target.mjs';
import { weirOnly } from './lib/suite.mjs';
import { eventually, next } from './lib/wait.mjs';

const guide = new URL('../docs/guide/clients.md', import.meta.url);
const orders = { name: 'orders', deliveryMode: 'AT_LEAST_ONCE', overflowAction: 'REJECT_NEW', ackTimeoutMs: 60_000 };
const server = onWeir ? await startServer({ namespaces: [{ path: '/feed', topics: ['prices', orders] }] }) : undefined;

async function manage(path, body) {
  const response = await fetch(`http://127.0.0.1:${server.managementPort}${path}`, {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body),
  });
  const answer = await response.json();
  assert.equal(response.status, 200, JSON.stringify(answer));
  return answer;
}

const publish = (topic, payload) => manage('/api/publish', { namespace: '/feed', topic, payload, receipt: true });

/** The program of the guide, run by Node.js against this server. */
async function program(t) {
  const [, code] = (await readFile(guide, 'utf8')).match(/\n```js\n([^]*?)\n```\n/);
  const aimed = code.replace('http://127.0.0.1:3000', server.url);
  assert.notEqual(aimed, code);
  const child = spawn(process.execPath, ['--input-type=module', '--eval', aimed], { cwd: import.meta.dirname, stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  const said = { text: '' };
  for (const out of [child.stdout, child.stderr]) out.on('data', (bytes) => { said.text += bytes; });
  return said;
}

const laneOf = (client, topic) => client.lanes?.find((lane) => lane.topic === topic);

/** The one client of the namespace, as management sees it, once it is subscribed to both topics. */
const subscribed = (except) => eventually('a client with two subscriptions', async () => {
  const { clients = [] } = await (await fetch(`http://127.0.0.1:${server.managementPort}/api/clients?namespace=/feed`)).json();
  return clients.find((client) => client.id !== except && ['prices', 'orders'].every((topic) => laneOf(client, topic)));
});

weirOnly('clients.md: its program subscribes, acknowledges, and is subscribed again after a lost connection', async (t) => {
  const said = await program(t);
  const heard = (text) => eventually(`${text} from the program`, () => said.text.includes(text))
    .catch((error) => assert.fail(`${error.message}; it said ${said.text}`));
  let before;
  for (const round of ['first', 'second', 'third']) {
    const client = await subscribed(before?.id);
    await publish('prices', `price of the ${round}`);
    await publish('orders', `order of the ${round}`);
    await heard(`price price of the ${round}`);
    await heard(`order order of the ${round} new`);
    await eventually('an acknowledged lane', async () => laneOf(await subscribed(), 'orders').acked === 1);
    await manage('/api/sockets/disconnect', { namespace: '/feed', filter: { id: client.id } });
    before = client;
  }
  await subscribed(before.id);
  assert.doesNotMatch(said.text, /not subscribed|Error|again/);
});

// Each statement on answers, with the object that the guide shows.
weirOnly('clients.md: what is answered', async (t) => {
  const socket = await connect(t, server, { namespace: '/feed' });
  const keys = async (event, argument) => Object.keys(await ask(socket, event, argument)).sort().join();
  assert.equal(await keys('subscribe', { topic: 'prices' }), 'epoch,offset,ok,topic');
  assert.deepEqual(Object.keys((await ask(socket, 'subscribe', { topic: 'prices', ack: 'callback' })).ignored), ['ack']);
  assert.equal(await keys('unsubscribe', { topic: 'prices' }), 'ok,topic');
  assert.deepEqual(await ask(socket, 'ack', { topic: 'orders', messageId: 'none' }), { ok: true, settled: false });
  assert.equal(await keys('unsubscribe', { topic: 'prices' }), 'code,ok,reason,retryable,topic');
  const told = next(socket, 'weir:error');
  socket.emit('unsubscribe', { topic: 'prices' });
  assert.equal(Object.keys((await told)[0]).sort().join(), 'code,ok,reason,retryable,topic');
});

weirOnly('clients.md: an event that nothing handles is not acknowledged, and told', async (t) => {
  const socket = await connect(t, server, { namespace: '/feed' });
  const told = next(socket, 'weir:error');
  let acknowledged = false;
  socket.emit('nobody handles this', 1, () => { acknowledged = true; });
  const [{ code, event, retryable }] = await told;
  assert.deepEqual({ code, event, retryable }, { code: 'no_handler', event: 'nobody handles this', retryable: false });
  await ask(socket, 'ack', { topic: 'orders', messageId: 'none' }); // whatever was answered before it has arrived
  assert.equal(acknowledged, false);
});
