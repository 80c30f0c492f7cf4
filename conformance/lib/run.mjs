// npm test: builds the fixture once, then hands every *.test.mjs (or the files named as arguments) to node's runner.
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildFixture, onWeir } from './target.mjs';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const named = process.argv.slice(2);
const files = named.length > 0 ? named : readdirSync(root).filter((name) => name.endsWith('.test.mjs')).sort();

const env = { ...process.env };
if (onWeir) env.WEIR_FIXTURE ??= buildFixture();

const runner = spawn(process.execPath, ['--test', '--test-concurrency=2', ...files], { cwd: root, env, stdio: 'inherit' });
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => runner.kill(signal));
runner.on('exit', (code) => {
  process.exitCode = code ?? 1;
});
