// `weir dev` as a user starts it: the binary in WEIR_BINARY, on free ports unless told one.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';

// freePort is one on which nobody listens, below those that the kernel gives to sockets which ask for any: it stays free while
// a server that had it comes back.
export async function freePort() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const probe = createServer();
    const free = await new Promise((resolve) => probe.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true)));
    if (!free) continue;
    await new Promise((resolve) => probe.close(resolve));
    return port;
  }
}

// start resolves when the three lines are there.
export async function start({ port = 0 } = {}) {
  const binary = process.env.WEIR_BINARY;
  if (!binary) throw new Error('WEIR_BINARY is not set: make page builds the binary and sets it');
  const child = spawn(binary, ['dev', '--port', String(port), '--management-port', '0'], { stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  child.stderr.on('data', (b) => { log += b; });
  const exited = once(child, 'exit');
  const lines = [];
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    if (lines.length === 3) break;
  }
  if (lines.length < 3) throw new Error(`weir dev ended early:\n${log}`);
  const signal = (name) => child.kill(name);
  const stop = async (how = 'SIGTERM') => {
    child.kill(how);
    const [code] = await exited;
    return { code, log };
  };
  return { lines, signal, stop, port: Number(new URL(lines[0].split(/\s+/)[1]).port), url: lines[0].split(/\s+/)[1], clients: lines[1].split(/\s+/)[1], curl: lines[2] };
}
