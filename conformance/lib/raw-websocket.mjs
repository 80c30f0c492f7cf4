// A raw RFC 6455 client: frames are written as told, right or wrong.
import { createHash, randomBytes } from 'node:crypto';
import { connectAnswer, connectPacket, enginePath, readResponse, requestHead, sessionAlive, sessionGone, Wire } from './raw.mjs';

export const opcode = { continuation: 0x0, text: 0x1, binary: 0x2, close: 0x8, ping: 0x9, pong: 0xa };
const acceptSuffix = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'; // RFC 6455 1.3

function lengthField(length) {
  if (length < 126) return [Buffer.alloc(0), length];
  if (length < 65_536) {
    const field = Buffer.alloc(2);
    field.writeUInt16BE(length);
    return [field, 126];
  }
  const field = Buffer.alloc(8);
  field.writeBigUInt64BE(BigInt(length));
  return [field, 127];
}

/** One frame as bytes (RFC 6455 5.2). `length` may claim another length than the payload has. */
export function frame({ fin = true, rsv = 0, op = opcode.text, masked = true, payload = '', length } = {}) {
  const data = Buffer.from(payload);
  const [extended, short] = lengthField(length ?? data.length);
  const head = Buffer.from([(fin ? 0x80 : 0) | (rsv << 4) | op, (masked ? 0x80 : 0) | short]);
  if (!masked) return Buffer.concat([head, extended, data]);
  const key = randomBytes(4);
  return Buffer.concat([head, extended, key, data.map((byte, i) => byte ^ key[i % 4])]);
}

/** The payload of a close frame. */
export function closePayload(code, reason = '') {
  const head = Buffer.alloc(2);
  head.writeUInt16BE(code);
  return Buffer.concat([head, Buffer.from(reason)]);
}

/** The request headers of a correct upgrade. */
function upgradeHeaders(server, key = randomBytes(16).toString('base64')) {
  return {
    Host: `127.0.0.1:${server.port}`,
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': key,
  };
}

/** Sends an upgrade request, with the `early` bytes right behind it; returns { wire, response }, whatever the answer. */
export async function upgrade(t, server, { query = {}, headers = {}, without = [], early = '' } = {}) {
  const wire = await Wire.open(t, server.port);
  const all = { ...upgradeHeaders(server), ...headers };
  for (const name of without) delete all[name];
  const head = requestHead('GET', enginePath({ EIO: 4, transport: 'websocket', ...query }), all);
  wire.write(Buffer.concat([head, Buffer.from(early)]));
  return { wire, response: await readResponse(wire) };
}

export class RawWebSocket {
  constructor(t, server, wire, response) {
    Object.assign(this, { t, server, wire, response });
  }

  /** Upgrades; the open packet, if there will be one, is not read. */
  static async dial(t, server, { query, headers = {} } = {}) {
    const key = randomBytes(16).toString('base64');
    const { wire, response } = await upgrade(t, server, { query, headers: { 'Sec-WebSocket-Key': key, ...headers } });
    if (response.status !== 101) throw new Error(`upgrade: status ${response.status} ${response.text}`);
    const accept = createHash('sha1').update(key + acceptSuffix).digest('base64');
    if (response.headers['sec-websocket-accept'] !== accept) throw new Error('upgrade: wrong Sec-WebSocket-Accept');
    const ws = new RawWebSocket(t, server, wire, response);
    ws.sid = query?.sid;
    return ws;
  }

  /** A new Engine.IO session; `open` is its handshake. */
  static async open(t, server, options) {
    const ws = await RawWebSocket.dial(t, server, options);
    const packet = await ws.text();
    if (packet[0] !== '0') throw new Error(`first packet is ${packet}`);
    ws.open = JSON.parse(packet.slice(1));
    ws.sid = ws.open.sid;
    return ws;
  }

  send(packet) {
    this.wire.write(frame({ payload: packet }));
  }

  sendBytes(bytes) {
    this.wire.write(frame({ op: opcode.binary, payload: bytes }));
  }

  write(...frames) {
    this.wire.write(Buffer.concat(frames.map((one) => (Buffer.isBuffer(one) ? one : frame(one)))));
  }

  /** The next frame: { fin, rsv, op, payload }. A server's frames are unmasked (RFC 6455 5.1). */
  async frame() {
    const head = await this.wire.bytes(2, 'frame');
    if (head[1] & 0x80) throw new Error('frame from the server is masked');
    let length = head[1] & 0x7f;
    if (length === 126) length = (await this.wire.bytes(2, 'frame length')).readUInt16BE();
    else if (length === 127) length = Number((await this.wire.bytes(8, 'frame length')).readBigUInt64BE());
    const payload = await this.wire.bytes(length, 'frame payload');
    return { fin: (head[0] & 0x80) !== 0, rsv: (head[0] >> 4) & 7, op: head[0] & 0x0f, payload };
  }

  /** The next message: a string, or a Buffer. Fails if the server closes instead. */
  async message() {
    const first = await this.frame();
    if (first.op === opcode.close) throw new Error(`closed with ${closeCode(first)} instead of a message`);
    const parts = [first.payload];
    for (let last = first; !last.fin; ) {
      last = await this.frame();
      parts.push(last.payload);
    }
    const all = Buffer.concat(parts);
    return first.op === opcode.text ? all.toString('utf8') : all;
  }

  /** The next packet, which must be text. Use it where no heartbeat can come in between. */
  async text() {
    const message = await this.message();
    if (typeof message !== 'string') throw new Error(`binary message ${message.toString('hex')}, want text`);
    return message;
  }

  packet() {
    return this.text();
  }

  /** Joins a namespace and returns the socket id. */
  async join(namespace = '/', auth) {
    this.send(connectPacket(namespace, auth));
    return connectAnswer(namespace, await this.text());
  }

  /** Resolves once the server has forgotten the session. */
  gone() {
    return sessionGone(this.t, this.server, this.sid, 'polling');
  }

  /** Whether the server knows the session. */
  alive() {
    return sessionAlive(this.t, this.server, this.sid, 'polling');
  }

  /** Reads on until the server closes; returns the close code, 1005 for an empty frame, 1006 if the TCP just ended. */
  async closed() {
    for (;;) {
      let got;
      try {
        got = await this.frame();
      } catch (error) {
        if (this.wire.ended) return 1006;
        throw error;
      }
      if (got.op === opcode.close) return closeCode(got);
    }
  }
}

function closeCode({ payload }) {
  return payload.length >= 2 ? payload.readUInt16BE() : 1005;
}
