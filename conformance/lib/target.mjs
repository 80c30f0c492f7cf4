// The server under test: which one it is, how it is started, asked and stopped.
//
// WEIR_CONFORMANCE_TARGET names it: `weir` (default) runs the binary WEIR_FIXTURE points at, or builds ./fixture;
// `reference` runs reference/server.mjs on npm socket.io. Both are described in FIXTURE.md. WEIR_DRIVER says how Weir
// holds its connections: epoll, goroutine, or nothing (its own choice).
import { spawn, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { after } from 'node:test';
import { deadline, eventually } from './wait.mjs';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const startDeadline = 30_000; // ms
const killAfter = 2_000; // ms between SIGTERM and SIGKILL

export const target = process.env.WEIR_CONFORMANCE_TARGET ?? 'weir';
if (!['weir', 'reference'].includes(target)) {
  throw new Error(`WEIR_CONFORMANCE_TARGET is ${JSON.stringify(target)}, want weir or reference`);
}
export const onWeir = target === 'weir';

/** Builds ./fixture into a temporary directory, which is removed when this process exits; returns the binary's path. */
export function buildFixture() {
  const dir = mkdtempSync(path.join(tmpdir(), 'weir-conformance-'));
  process.on('exit', () => rmSync(dir, { recursive: true, force: true }));
  const binary = path.join(dir, 'fixture');
  try {
    execFileSync('go', ['build', '-o', binary, './fixture'], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  } catch {
    throw new Error('go build ./fixture: no Weir fixture; its output is above, WEIR_FIXTURE names another binary');
  }
  return binary;
}

function commandLine() {
  if (!onWeir) return [process.execPath, [path.join(root, 'reference', 'server.mjs')]];
  process.env.WEIR_FIXTURE ??= buildFixture();
  return [process.env.WEIR_FIXTURE, []];
}

/** One running fixture server. Its stdin is held open: a server whose tests died sees end of file and leaves. */
class Server {
  constructor(child, ready, scheme) {
    this.child = child;
    this.port = ready.port;
    this.controlPort = ready.control;
    this.managementPort = ready.management;
    this.url = `${scheme}://127.0.0.1:${ready.port}`;
  }

  async control(method, what) {
    const response = await fetch(`http://127.0.0.1:${this.controlPort}${what}`, { method });
    if (!response.ok) throw new Error(`control ${method} ${what}: status ${response.status}`);
    return response.json();
  }

  /** Waits until the server saw socket `id` disconnect; returns { nsp, id, reason, rooms }. */
  disconnected(id) {
    return eventually(`disconnect of socket ${id}`, async () =>
      (await this.control('GET', '/disconnects')).find((entry) => entry.id === id));
  }

  /** Waits until a client's `mark` event with this name was handled; everything sent before it has been handled too. */
  marked(name) {
    return eventually(`mark ${name}`, async () => (await this.control('GET', '/marks')).includes(name));
  }

  /** All events the catch-all listener recorded for socket `id`: [{ event, args }]. */
  async received(id) {
    return (await this.control('GET', '/events')).filter((entry) => entry.id === id);
  }

  /** Begins to shut the Socket.IO server down; the process and its control port stay. */
  shutdown() {
    return this.control('POST', '/shutdown');
  }

  async stop() {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = new Promise((resolve) => this.child.once('exit', resolve));
    const kill = setTimeout(() => this.child.kill('SIGKILL'), killAfter);
    this.child.kill('SIGTERM');
    await gone;
    clearTimeout(kill);
  }
}

function readyLine(child) {
  const { promise, resolve, reject } = deferred();
  child.once('error', reject);
  child.once('exit', (code, signal) => reject(new Error(`fixture left with ${code ?? signal} before it was ready`)));
  createInterface({ input: child.stdout }).once('line', (line) => {
    try {
      resolve(JSON.parse(line));
    } catch (cause) {
      reject(new Error(`ready line ${JSON.stringify(line)} is not JSON`, { cause }));
    }
  });
  return promise;
}

function deferred() {
  const d = {};
  d.promise = new Promise((resolve, reject) => Object.assign(d, { resolve, reject }));
  return d;
}

/** Starts a fixture server with these FIXTURE_OPTIONS and stops it after the tests of the file. */
export async function startServer(options = {}) {
  const [command, args] = commandLine();
  const child = spawn(command, args, {
    cwd: root,
    env: { ...process.env, FIXTURE_OPTIONS: JSON.stringify(options) },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdin.on('error', () => {}); // the pipe breaks when the server leaves first
  process.on('exit', () => child.kill('SIGKILL'));
  let server;
  after(() => server?.stop());
  const ready = await deadline(readyLine(child), `ready line of ${command}`, startDeadline);
  server = new Server(child, ready, options.tls ? 'https' : 'http');
  return server;
}
