// The real nginx in front of a fixture server, on a port of its own, for one test file.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after } from 'node:test';
import { eventually } from './wait.mjs';

const killAfter = 2_000; // ms between SIGTERM and SIGKILL

/**
 * A port on which nobody listens, below those that the kernel gives to sockets which ask for any: nobody takes it before nginx,
 * which cannot be told to let the kernel choose.
 */
async function freePort() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const probe = net.createServer();
    const free = await new Promise((resolve) => probe.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true)));
    if (!free) continue;
    await new Promise((resolve) => probe.close(resolve));
    return port;
  }
}

function configuration(dir, port, upstream, lines) {
  return `
daemon off;
pid ${dir}/nginx.pid;
error_log stderr crit;
worker_processes 1;
events {}
http {
  access_log off;
  ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${dir}/${name};`).join(' ')}
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://127.0.0.1:${upstream};
      ${lines.join('\n      ')}
    }
  }
}
`;
}

/** Starts nginx before `server` with these lines in its location; it is stopped after the tests of the file. */
export async function startNginx(server, lines) {
  const dir = mkdtempSync(path.join(tmpdir(), 'weir-nginx-'));
  const port = await freePort();
  const file = path.join(dir, 'nginx.conf');
  writeFileSync(file, configuration(dir, port, server.port, lines));
  const child = spawn('nginx', ['-p', dir, '-c', file, '-e', 'stderr'], { stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` } });
  const gone = new Promise((resolve) => child.once('exit', resolve).once('error', resolve));
  process.on('exit', () => child.kill('SIGKILL'));
  after(async () => {
    const kill = setTimeout(() => child.kill('SIGKILL'), killAfter);
    child.kill('SIGTERM');
    await gone;
    clearTimeout(kill);
    rmSync(dir, { recursive: true, force: true });
  });
  await eventually('nginx listens', () => {
    if (child.exitCode !== null) throw new Error(`nginx left with ${child.exitCode}`);
    return new Promise((resolve) => {
      const probe = net.connect(port, '127.0.0.1');
      probe.once('connect', () => resolve(true) || probe.destroy()).once('error', () => resolve(false));
    });
  });
  return { port, url: `http://127.0.0.1:${port}` };
}
