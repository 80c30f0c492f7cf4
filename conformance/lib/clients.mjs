// The official clients, each on a connection of its own that ends with its test.
import { io } from 'socket.io-client';
import { Socket as EngineSocket } from 'engine.io-client';
import { deadline, next } from './wait.mjs';

const transportLists = {
  polling: ['polling'],
  websocket: ['websocket'],
  upgraded: ['polling', 'websocket'],
};

/** A socket.io-client socket that is not connected yet. `options.transport` is a name out of lib/suite.mjs. */
export function socketOf(t, server, { namespace = '/', transport = 'websocket', ...options } = {}) {
  const socket = io(server.url + namespace, {
    forceNew: true,
    reconnection: false,
    autoConnect: false,
    transports: transportLists[transport],
    ...options,
  });
  t.after(() => socket.io._close());
  return socket;
}

/** Resolves when the socket is connected; rejects with the server's CONNECT_ERROR. */
export async function connected(socket) {
  const outcome = new Promise((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('connect_error', reject);
  });
  socket.connect();
  await deadline(outcome, 'connect');
}

/** A connected socket.io-client socket; with transport `upgraded`, one whose upgrade is complete. */
export async function connect(t, server, options = {}) {
  const socket = socketOf(t, server, options);
  let upgrade;
  socket.io.once('open', () => {
    upgrade = new Promise((resolve) => socket.io.engine.once('upgrade', resolve));
  });
  await connected(socket);
  if (options.transport === 'upgraded' && socket.io.engine.transport.name !== 'websocket') {
    await deadline(upgrade, 'upgrade to websocket');
  }
  return socket;
}

/** Joins another namespace on the connection of `socket`. */
export async function also(socket, namespace, options = {}) {
  const other = socket.io.socket(namespace, options);
  await connected(other);
  return other;
}

/** The CONNECT_ERROR a socket is refused with. */
export async function refusal(socket) {
  const refused = next(socket, 'connect_error');
  socket.connect();
  const [error] = await refused;
  return error;
}

/** Emits with an acknowledgement and returns its first argument. */
export function ask(socket, event, ...args) {
  return deadline(socket.emitWithAck(event, ...args), `ack of ${event}`);
}

/** Round trip on the connection: what the server sent before has arrived when it resolves. */
export async function barrier(socket) {
  await ask(socket, 'ack', 'barrier');
}

/** An open engine.io-client socket. */
export async function engine(t, server, options = {}) {
  const socket = new EngineSocket(server.url, { path: '/socket.io/', ...options });
  t.after(() => socket.close());
  await next(socket, 'open');
  return socket;
}

let names = 0;

/** A name no other test of this process uses, for rooms, keys and marks. */
export function fresh(word) {
  names += 1;
  return `${word}-${names}`;
}
