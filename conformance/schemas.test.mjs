// schemas of configuration.md, with the official client: what it is told when what it sends is not as the schema says. The reference
// has no schemas, so this is Weir's alone.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { ask, connect } from './lib/clients.mjs';
import { onWeir, startServer } from './lib/target.mjs';
import { weirOnly } from './lib/suite.mjs';
import { next } from './lib/wait.mjs';

const directory = mkdtempSync(join(tmpdir(), 'weir-schemas-'));
after(() => rmSync(directory, { recursive: true }));
const schema = (name, value) => {
  const file = join(directory, name);
  writeFileSync(file, JSON.stringify(value));
  return file;
};
const order = schema('order.json', {
  type: 'object', required: ['symbol'], additionalProperties: false,
  properties: { symbol: { type: 'string', pattern: '^[A-Z]{1,6}$' }, scan: true },
});
const namespaces = [{
  path: '/feed', topics: ['prices'], clientPublish: 'allow',
  schemas: { echo: order, mark: schema('mark.json', { type: 'string', maxLength: 20 }), prices: order },
}];
const server = onWeir ? await startServer({ namespaces }) : undefined;

for (const transport of ['websocket', 'polling']) {
  weirOnly(`4.2 what breaks a schema is answered with the path and the rule, and handled by nobody [${transport}]`, async (t) => {
    const socket = await connect(t, server, { namespace: '/feed', transport });
    const refused = await ask(socket, 'echo', { symbol: 'aapl' });
    assert.equal(typeof refused.reason, 'string');
    assert.deepEqual({ ...refused, reason: '' }, { ok: false, code: 'schema_violation', reason: '', retryable: false, path: '/symbol', rule: 'pattern' });
    const echoed = next(socket, 'echo');
    socket.emit('echo', { symbol: 'AAPL' });
    assert.deepEqual(await echoed, [{ symbol: 'AAPL' }]); // and nothing came before it
  });

  weirOnly(`4.2 without a callback weir:error says so [${transport}]`, async (t) => {
    const socket = await connect(t, server, { namespace: '/feed', transport });
    const told = next(socket, 'weir:error');
    socket.emit('mark', 'much longer than a mark may be');
    const [why] = await told;
    assert.deepEqual({ ...why, reason: '' }, { ok: false, event: 'mark', code: 'schema_violation', reason: '', retryable: false, path: '', rule: 'maxLength' });
    assert.equal(socket.connected, true);
    assert.deepEqual((await server.control('GET', '/marks')).filter((mark) => mark.startsWith('much longer')), []);
  });

  weirOnly(`4.2 a publish is held to the schema of its topic [${transport}]`, async (t) => {
    const socket = await connect(t, server, { namespace: '/feed', transport });
    assert.equal((await ask(socket, 'subscribe', { topic: 'prices' })).ok, true);
    const first = next(socket, 'prices');
    const refused = await ask(socket, 'publish', { topic: 'prices', payload: { symbol: 1 } });
    assert.deepEqual({ ...refused, reason: '' }, { ok: false, topic: 'prices', code: 'schema_violation', reason: '', retryable: false, path: '/symbol', rule: 'type' });
    assert.equal((await ask(socket, 'publish', { topic: 'prices', payload: { symbol: 'OK' } })).ok, true);
    assert.deepEqual((await first)[0], { symbol: 'OK' });
  });

  weirOnly(`4.2 a binary part stands only where the schema says nothing [${transport}]`, async (t) => {
    const socket = await connect(t, server, { namespace: '/feed', transport });
    const refused = await ask(socket, 'echo', { symbol: Buffer.from('AAPL') });
    assert.deepEqual([refused.code, refused.path, refused.rule], ['schema_violation', '/symbol', 'binary']);
    const echoed = next(socket, 'echo');
    socket.emit('echo', { symbol: 'AAPL', scan: Buffer.from('scan') });
    assert.deepEqual(Buffer.from((await echoed)[0].scan), Buffer.from('scan'));
  });
}
