// What clients in other languages send, byte for byte as far as it differs from the JavaScript client: as reports and their
// sources have it. None of them has to be installed here.
import assert from 'node:assert/strict';
import { Polling, separator } from './lib/raw.mjs';
import { opcode, RawWebSocket, upgrade } from './lib/raw-websocket.mjs';
import { conform, weirOnly } from './lib/suite.mjs';
import { startServer } from './lib/target.mjs';

const server = await startServer();
const apps = await startServer({ cors: { origin: ['file://', 'app://.'] } });

/** Joins and echoes over an upgraded connection whose request had these headers. */
async function speaks(t, on, headers) {
  const ws = await RawWebSocket.open(t, on, { headers });
  await ws.join();
  ws.send('42["echo","x"]');
  assert.equal(await ws.text(), '42["echo","x"]');
  return ws;
}

// The Java and Android client encodes attachments on polling with a line break every 76 characters and at the end.
conform('1.4 Java: base64 with line breaks, in its polling payload', async (t) => {
  const bytes = Buffer.from(Array.from({ length: 200 }, (_, i) => i));
  const peer = await Polling.open(t, server);
  await peer.join();
  const lines = `${bytes.toString('base64').replace(/.{76}/g, '$&\n')}\n`;
  const answer = await peer.post(['451-["echo",{"_placeholder":true,"num":0}]', `b${lines}`].join(separator));
  assert.equal(answer.text, 'ok');
  assert.equal(await peer.packet(), '451-["echo",{"_placeholder":true,"num":0}]');
  assert.equal(await peer.packet(), `b${bytes.toString('base64')}`);
});

// Starscream, which Swift clients use, names its own server as origin and offers every compression parameter.
conform('1.5 Swift: own origin, and an offer of compression with parameters', async (t) => {
  await speaks(t, server, {
    Origin: server.url,
    'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits; server_max_window_bits=15',
  });
});

// Its session begins on polling, with b64 and the transport named first.
conform('1.7 Swift: polling with b64=1, then the probe', async (t) => {
  const peer = await Polling.open(t, server, { query: { b64: 1 } });
  const id = await peer.join();
  const ws = await RawWebSocket.dial(t, server, { query: { sid: peer.sid, b64: 1 } });
  ws.send('2probe');
  assert.equal(await ws.text(), '3probe');
  ws.send('5');
  ws.send('42["echo","after"]');
  assert.equal(await ws.text(), '42["echo","after"]');
  assert.ok(id.length > 0);
});

// ElephantIO writes the server's address as its origin, with a slash at the end that no browser sends.
weirOnly('1.9 PHP: own origin with a slash at its end', async (t) => {
  await speaks(t, server, { Origin: `${server.url}/` });
  const peer = await Polling.open(t, server, { headers: { Origin: `${server.url}/` } });
  await peer.join();
});

// arduinoWebSockets: a sub-protocol, an origin that is no web site, frames masked with zeros.
weirOnly('1.5 microcontrollers: Sec-WebSocket-Protocol arduino, Origin file://', async (t) => {
  const ws = await RawWebSocket.open(t, apps, {
    headers: { Origin: 'file://', 'Sec-WebSocket-Protocol': 'arduino', 'User-Agent': 'arduino-WebSocket-Client' },
  });
  assert.equal(ws.response.headers['sec-websocket-protocol'], 'arduino');
  await ws.join();
  const text = Buffer.from('42["echo","x"]');
  ws.wire.write(Buffer.concat([Buffer.from([0x80 | opcode.text, 0x80 | text.length, 0, 0, 0, 0]), text]));
  assert.equal(await ws.text(), '42["echo","x"]');
});

weirOnly('1.9 Electron and Cordova: app://. and file:// are let in when they are listed, and only then', async (t) => {
  for (const origin of ['app://.', 'file://']) {
    await speaks(t, apps, { Origin: origin });
    const refused = await upgrade(t, server, { headers: { Origin: origin } });
    assert.notEqual(refused.response.status, 101);
  }
});
