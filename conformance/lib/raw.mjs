// A raw HTTP/1.1 peer on a TCP socket, so that malformed, slow and aborted requests can be sent, and an Engine.IO
// polling session on top of it. Nothing here interprets what it sends.
import net from 'node:net';
import { gunzipSync, inflateSync } from 'node:zlib';
import { deadline, eventually } from './wait.mjs';

export const separator = '\x1e';
const blank = Buffer.from('\r\n\r\n');

/** Bytes from one TCP connection, read on demand. */
export class Wire {
  #chunks = [];
  #wake = () => {};

  constructor(socket) {
    this.socket = socket;
    this.ended = false;
    this.paused = false;
    socket.on('data', (chunk) => {
      this.#chunks.push(chunk);
      this.#wake();
    });
    socket.on('error', () => {}); // a reset shows as the end
    for (const event of ['end', 'close']) {
      socket.on(event, () => {
        this.ended = true;
        this.#wake();
      });
    }
  }

  static async open(t, port) {
    const socket = net.connect({ host: '127.0.0.1', port, noDelay: true });
    t.after(() => socket.destroy());
    await deadline(new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject)), `dial port ${port}`);
    return new Wire(socket);
  }

  write(bytes) {
    this.socket.write(bytes);
  }

  /** The bytes received and not yet taken, as one buffer. */
  get held() {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0] ?? Buffer.alloc(0);
  }

  /** Takes what `cut(held)` says is complete: it returns a count of bytes, or undefined to wait for more. */
  async take(what, cut) {
    for (;;) {
      const count = cut(this.held);
      if (count !== undefined) {
        const all = this.held;
        this.#chunks = all.length > count ? [all.subarray(count)] : [];
        return all.subarray(0, count);
      }
      if (this.ended) throw new Error(`${what}: connection ended with ${this.held.length} bytes held`);
      await deadline(new Promise((resolve) => (this.#wake = resolve)), what);
    }
  }

  bytes(count, what) {
    return this.take(what, (held) => (held.length >= count ? count : undefined));
  }

  through(mark, what) {
    return this.take(what, (held) => {
      const at = held.indexOf(mark);
      return at < 0 ? undefined : at + mark.length;
    });
  }

  /** Waits for the peer's end and returns what came before it. */
  rest(what = 'end of the connection') {
    return this.take(what, (held) => (this.ended ? held.length : undefined));
  }
}

class Response {
  constructor(head) {
    const [first, ...lines] = head.toString('latin1').trimEnd().split('\r\n');
    const [, status, reason] = /^HTTP\/1\.1 (\d{3}) ?(.*)$/.exec(first);
    this.status = Number(status);
    this.reason = reason;
    this.fields = lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]);
    this.headers = {};
    for (const [name, value] of this.fields) {
      const key = name.toLowerCase();
      this.headers[key] = key in this.headers ? `${this.headers[key]}, ${value}` : value;
    }
  }

  get text() {
    return this.body.toString('utf8');
  }

  /** The body with its Content-Encoding undone. */
  get decoded() {
    const decoders = { gzip: gunzipSync, deflate: inflateSync };
    return (decoders[this.headers['content-encoding']] ?? ((body) => body))(this.body).toString('utf8');
  }

  get json() {
    return JSON.parse(this.text);
  }

  get packets() {
    return this.text.split(separator);
  }
}

async function readBody(wire, response) {
  const { status, headers } = response;
  if (status < 200 || status === 204 || status === 304) return Buffer.alloc(0);
  if (headers['transfer-encoding'] === 'chunked') return readChunks(wire);
  if ('content-length' in headers) return wire.bytes(Number(headers['content-length']), 'response body');
  return wire.rest('response body');
}

async function readChunks(wire) {
  const parts = [];
  for (;;) {
    const size = parseInt((await wire.through('\r\n', 'chunk size')).toString(), 16);
    const chunk = await wire.bytes(size + 2, 'chunk');
    if (size === 0) return Buffer.concat(parts);
    parts.push(chunk.subarray(0, size));
  }
}

/** Reads one response from the wire. */
export async function readResponse(wire) {
  const response = new Response(await wire.through(blank, 'response head'));
  response.body = await readBody(wire, response);
  return response;
}

/** The head of a request, as bytes on the wire. */
export function requestHead(method, path, headers) {
  const lines = Object.entries(headers).flatMap(([name, value]) => [].concat(value).map((one) => `${name}: ${one}`));
  return Buffer.from([`${method} ${path} HTTP/1.1`, ...lines, '', ''].join('\r\n'), 'latin1');
}

/** Starts a request on a connection of its own; returns { wire, response }, where response is a promise. */
export async function begin(t, server, { method = 'GET', path, headers = {}, body } = {}) {
  const wire = await Wire.open(t, server.port);
  const length = body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) };
  wire.write(requestHead(method, path, { Host: `127.0.0.1:${server.port}`, ...length, ...headers }));
  if (body !== undefined) wire.write(body);
  const response = readResponse(wire);
  response.catch(() => {}); // the caller may only want the wire
  return { wire, response };
}

/** One whole request and its response. The connection is closed afterwards. */
export async function request(t, server, call) {
  const { wire, response } = await begin(t, server, call);
  const answer = await response;
  wire.socket.destroy();
  return answer;
}

export const enginePath = (query, base = '/socket.io/') => `${base}?${new URLSearchParams(query)}`;

/** An Engine.IO session over long-polling, spoken by hand. */
export class Polling {
  constructor(t, server, open) {
    Object.assign(this, { t, server, open, sid: open.sid });
    this.backlog = []; // packets of a response not yet handed out
  }

  static async open(t, server, { query = {}, headers } = {}) {
    const path = enginePath({ EIO: 4, transport: 'polling', ...query });
    const response = await request(t, server, { path, headers });
    if (response.status !== 200) throw new Error(`handshake: status ${response.status} ${response.text}`);
    return new Polling(t, server, JSON.parse(response.packets[0].slice(1)));
  }

  get path() {
    return enginePath({ EIO: 4, transport: 'polling', sid: this.sid });
  }

  begin(call) {
    return begin(this.t, this.server, { path: this.path, ...call });
  }

  get(headers) {
    return request(this.t, this.server, { path: this.path, headers });
  }

  /** Sends packets in one POST; content type as browsers send it. */
  post(...packets) {
    return request(this.t, this.server, {
      method: 'POST',
      path: this.path,
      headers: { 'Content-Type': 'text/plain;charset=UTF-8' },
      body: packets.join(separator),
    });
  }

  /** The next packet from the server, polling when none is left over. */
  async packet() {
    if (this.backlog.length === 0) {
      const response = await this.get();
      if (response.status !== 200) throw new Error(`poll: status ${response.status} ${response.text}`);
      this.backlog = response.packets;
    }
    return this.backlog.shift();
  }

  /** Joins a namespace and returns the socket id. */
  async join(namespace = '/', auth) {
    await this.post(connectPacket(namespace, auth));
    return connectAnswer(namespace, await this.packet());
  }

  /** Resolves once the server has forgotten the session. */
  gone() {
    return sessionGone(this.t, this.server, this.sid, 'websocket');
  }

  /** Whether the server knows the session. Only while it has not been upgraded. */
  alive() {
    return sessionAlive(this.t, this.server, this.sid, 'websocket');
  }
}

/** The packet text that joins a namespace. */
export function connectPacket(namespace, auth) {
  const json = auth === undefined ? '' : JSON.stringify(auth);
  return namespace === '/' ? `40${json}` : `40${namespace},${json}`;
}

/** The socket id in the server's answer to CONNECT. */
export function connectAnswer(namespace, packet) {
  const prefix = namespace === '/' ? '40' : `40${namespace},`;
  if (!packet.startsWith(`${prefix}{`)) throw new Error(`CONNECT of ${namespace} was answered ${packet}`);
  return JSON.parse(packet.slice(prefix.length)).sid;
}

/**
 * Whether the server knows the session, asked without touching it: a request that is no upgrade and names the transport
 * the session does not use is refused with code 1 when the session is gone, else with 3 (protocol.md 1.1).
 */
export async function sessionAlive(t, server, sid, otherTransport) {
  const answer = await request(t, server, { path: enginePath({ EIO: 4, transport: otherTransport, sid }) });
  const { code } = answer.json;
  if (code !== 1 && code !== 3) throw new Error(`session ${sid} asked for by ${otherTransport}: ${answer.text}`);
  return code === 3;
}

/** Resolves once the server has forgotten the session; `otherTransport` as for sessionAlive. */
export function sessionGone(t, server, sid, otherTransport) {
  return eventually(`end of session ${sid}`, async () => !(await sessionAlive(t, server, sid, otherTransport)));
}
