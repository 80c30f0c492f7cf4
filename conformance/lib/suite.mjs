// How tests are declared. Every name starts with the section of docs/protocol.md it holds.
import { test } from 'node:test';
import { onWeir } from './target.mjs';

const timeout = 60_000; // ms per test

/** A promise both servers keep. */
export function conform(name, body) {
  test(name, { timeout }, body);
}

/** A promise in which Weir deliberately differs from npm socket.io; it is not declared on the reference at all. */
export function weirOnly(name, body) {
  if (onWeir) conform(name, body);
}

/** The ways a Socket.IO client can be connected. `upgraded` starts by polling and is handed out after its upgrade. */
export const transports = ['polling', 'websocket', 'upgraded'];

/** Declares the test once per transport; `body` is called with the test context and the transport's name. */
export function overTransports(name, body, declare = conform) {
  for (const transport of transports) {
    declare(`${name} [${transport}]`, (t) => body(t, transport));
  }
}
