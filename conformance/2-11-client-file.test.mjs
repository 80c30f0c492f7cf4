// protocol.md 2.11, row serveClient: the browser client the server hands out.
import assert from 'node:assert/strict';
import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib';
import vm from 'node:vm';
import { request } from './lib/raw.mjs';
import { conform } from './lib/suite.mjs';
import { startServer } from './lib/target.mjs';

const [server, without, moved] = await Promise.all([
  startServer(),
  startServer({ serveClient: false }),
  startServer({ path: '/live/' }),
]);

const scripts = ['socket.io.js', 'socket.io.min.js', 'socket.io.esm.min.js', 'socket.io.msgpack.min.js'];
const etag = '"4.8.4"';

for (const name of scripts) {
  conform(`2.11 ${name}: type, caching, validator`, async (t) => {
    const response = await request(t, server, { path: `/socket.io/${name}` });
    assert.equal(response.status, 200);
    assert.equal(response.headers['content-type'], 'application/javascript; charset=utf-8');
    assert.equal(response.headers['cache-control'], 'public, max-age=0');
    assert.equal(response.headers.etag, etag);
    assert.match(response.text.slice(0, 200), /Socket\.IO v4\.8\.4/);
  });

  conform(`2.11 ${name}.map is JSON`, async (t) => {
    const response = await request(t, server, { path: `/socket.io/${name}.map` });
    assert.equal(response.status, 200);
    assert.match(response.headers['content-type'], /^application\/json/);
    assert.equal(response.json.version, 3);
  });
}

conform('2.11 304 on If-None-Match, strong and weak; another validator gets the file', async (t) => {
  for (const value of [etag, `W/${etag}`]) {
    const response = await request(t, server, { path: '/socket.io/socket.io.js', headers: { 'If-None-Match': value } });
    assert.equal(response.status, 304, value);
    assert.equal(response.body.length, 0);
  }
  const other = await request(t, server, { path: '/socket.io/socket.io.js', headers: { 'If-None-Match': '"4.0.0"' } });
  assert.equal(other.status, 200);
});

for (const [encoding, decode] of [['gzip', gunzipSync], ['deflate', inflateSync], ['br', brotliDecompressSync]]) {
  conform(`2.11 compressed on request: ${encoding}`, async (t) => {
    const path = '/socket.io/socket.io.min.js';
    const plain = await request(t, server, { path });
    const response = await request(t, server, { path, headers: { 'Accept-Encoding': encoding } });
    assert.equal(response.headers['content-encoding'], encoding);
    assert.ok(response.body.length < plain.body.length);
    assert.deepEqual(decode(response.body), plain.body);
  });
}

conform('2.11 a query does not matter; a name that is not a client file is Engine.IO\'s', async (t) => {
  assert.equal((await request(t, server, { path: '/socket.io/socket.io.js?v=1' })).status, 200);
  for (const path of ['/socket.io/other.js', '/socket.io/socket.io.js.bak', '/socket.io/../package.json']) {
    const { status } = await request(t, server, { path });
    assert.ok([400, 404].includes(status), `${path}: ${status}`);
  }
});

conform('2.11 serveClient off: the file is not served', async (t) => {
  const response = await request(t, without, { path: '/socket.io/socket.io.js' });
  assert.equal(response.status, 400);
  assert.equal(response.json.code, 0);
});

conform('2.11 the file is under the option path', async (t) => {
  assert.equal((await request(t, moved, { path: '/live/socket.io.js' })).status, 200);
  assert.equal((await request(t, moved, { path: '/socket.io/socket.io.js' })).status, 404);
});

conform('2.11 the served script defines io', async (t) => {
  const { text } = await request(t, server, { path: '/socket.io/socket.io.js' });
  const context = vm.createContext({});
  vm.runInContext(`var self = this, window = this;\n${text}`, context);
  assert.equal(vm.runInContext('typeof io', context), 'function');
});
