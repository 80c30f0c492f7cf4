// hooks.connect of configuration.md, with the official client and a backend of Node: what the client is told, and what the backend
// gets, whose signature is verified here as docs/guide/security.md says. The reference has no hooks, so this is Weir's alone.
import assert from 'node:assert/strict';
import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';
import { after } from 'node:test';
import { ask, connect, refusal, socketOf } from './lib/clients.mjs';
import { onWeir, startServer } from './lib/target.mjs';
import { weirOnly } from './lib/suite.mjs';

const secret = Buffer.alloc(32, 7);
const verified = (headers, body) => {
  const mac = createHmac('sha256', secret).update(`${headers['webhook-id']}.${headers['webhook-timestamp']}.`).update(body).digest();
  return Math.abs(Date.now() / 1000 - Number(headers['webhook-timestamp'])) < 300 && headers['webhook-signature'].split(' ').some((signature) => {
    const given = Buffer.from(signature.replace(/^v1,/, ''), 'base64');
    return given.length === mac.length && timingSafeEqual(given, mac);
  });
};

const asked = [];
const answers = {
  'sid=alice': { allow: true, principal: 'alice', topics: { sub: ['prices'] } },
  'sid=closed': { allow: false, message: 'the account is closed', data: { help: '/closed' } },
};
const backend = createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  const body = Buffer.concat(parts);
  if (!verified(request.headers, body)) return response.writeHead(401).end();
  const question = JSON.parse(body);
  asked.push(question);
  const answer = Object.hasOwn(answers, question.headers.cookie ?? '') ? answers[question.headers.cookie] : undefined;
  if (answer === undefined) return response.writeHead(302, { location: '/login' }).end();
  return response.end(JSON.stringify(answer));
});
if (onWeir) await new Promise((listening) => backend.listen(0, '127.0.0.1', listening));
after(() => backend.close());

const server = onWeir ? await startServer({
  hooks: { connect: `http://127.0.0.1:${backend.address().port}/connect`, secrets: [secret.toString('base64')] },
  namespaces: [{ path: '/feed', authRequired: true, topics: ['prices', 'orders'] }],
}) : undefined;
const as = (cookie, transport) => ({ namespace: '/feed', transport, extraHeaders: { cookie }, auth: { __proto__: null, lang: 'en' } });

for (const transport of ['websocket', 'polling']) {
  weirOnly(`4.1 a backend lets a client in by its cookie, with what it grants [${transport}]`, async (t) => {
    const socket = await connect(t, server, as('sid=alice', transport));
    assert.equal((await ask(socket, 'subscribe', { topic: 'prices' })).ok, true);
    assert.equal((await ask(socket, 'subscribe', { topic: 'orders' })).code, 'forbidden');
    const question = asked.at(-1);
    assert.deepEqual([question.hook, question.namespace, question.cookies, question.auth], ['connect', '/feed', { sid: 'alice' }, { lang: 'en' }]);
  });

  weirOnly(`4.1 a refusal of the backend is the client's connect_error, message and data [${transport}]`, async (t) => {
    const error = await refusal(socketOf(t, server, as('sid=closed', transport)));
    assert.equal(error.message, 'the account is closed');
    assert.deepEqual(error.data, { help: '/closed' });
  });

  weirOnly(`4.1 a backend without an answer that can be used is told with a code [${transport}]`, async (t) => {
    const error = await refusal(socketOf(t, server, as('__proto__', transport)));
    assert.match(error.message, /^backend_unavailable: /);
    assert.deepEqual(error.data, { code: 'backend_unavailable', retryable: true });
  });
}
