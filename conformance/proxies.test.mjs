// What stands in front of the server in production: the real nginx, as its users configure it for websockets.
import assert from 'node:assert/strict';
import { connect, ask } from './lib/clients.mjs';
import { startNginx } from './lib/nginx.mjs';
import { enginePath, request } from './lib/raw.mjs';
import { upgrade } from './lib/raw-websocket.mjs';
import { conform, overTransports, weirOnly } from './lib/suite.mjs';
import { startServer } from './lib/target.mjs';

const upgrading = ['proxy_http_version 1.1;', 'proxy_set_header Upgrade $http_upgrade;', 'proxy_set_header Connection "upgrade";'];
const unbuffered = 'proxy_buffering off;';
const server = await startServer();
const [whole, nameless, portless, plain] = await Promise.all([
  startNginx(server, [...upgrading, 'proxy_set_header Host $http_host;', unbuffered]),
  startNginx(server, [...upgrading, unbuffered]),
  startNginx(server, [...upgrading, 'proxy_set_header Host $host;', unbuffered]),
  startNginx(server, ['proxy_set_header Host $http_host;', unbuffered]),
]);
const handshake = enginePath({ EIO: 4, transport: 'polling' });

overTransports('1.1 through nginx', async (t, transport) => {
  const socket = await connect(t, whole, { transport });
  assert.deepEqual(await ask(socket, 'ack', { b: [1] }), { b: [1] });
});

conform('1.1 through nginx that passes no Upgrade a client stays on polling', async (t) => {
  const socket = await connect(t, plain, { transport: 'polling', transports: ['polling', 'websocket'] });
  assert.equal(await ask(socket, 'ack', 1), 1);
  const { response } = await upgrade(t, plain);
  assert.notEqual(response.status, 101);
});

weirOnly('1.9 behind nginx a page of the site itself is of the same origin when Host is passed on', async (t) => {
  for (const path of [handshake, enginePath({ EIO: 4, transport: 'polling', n: 2 })]) {
    assert.equal((await request(t, whole, { path, headers: { Origin: whole.url } })).status, 200);
  }
  assert.equal((await upgrade(t, whole, { headers: { Origin: whole.url } })).response.status, 101);
});

// Without Host (nginx sends the upstream's address) or with $host (it has no port) nobody can tell that the page is the
// site's own: it is refused, and the answer helps nobody but the page's developer; the log line and doctor name the line.
weirOnly('1.9 behind nginx that keeps Host to itself pages are refused, and clients without an origin are served', async (t) => {
  for (const proxy of [nameless, portless]) {
    const refused = await request(t, proxy, { path: handshake, headers: { Origin: proxy.url } });
    assert.equal(refused.status, 403);
    assert.equal((await upgrade(t, proxy, { headers: { Origin: proxy.url } })).response.status, 400);
    const socket = await connect(t, proxy, { transport: 'websocket' });
    assert.equal(await ask(socket, 'ack', 1), 1);
  }
});
