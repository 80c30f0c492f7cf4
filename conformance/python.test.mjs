// python-socketio, the client of Python programs, as Debian ships it.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { conform } from './lib/suite.mjs';
import { startServer } from './lib/target.mjs';

const program = path.join(path.dirname(fileURLToPath(import.meta.url)), 'python', 'client.py');
const python = process.env.WEIR_PYTHON ?? '/usr/bin/python3'; // Debian's own: that is where its packages are
const server = await startServer();

for (const transports of ['polling', 'websocket', 'polling,websocket']) {
  conform(`2.1 python-socketio connects, emits, calls, sends bytes, joins with a token and leaves [${transports}]`, async () => {
    const { stdout } = await promisify(execFile)(python, [program, server.url, transports, 'wrong'], { timeout: 55_000 });
    const seen = JSON.parse(stdout);
    assert.deepEqual(seen.text, ['text é\u2028\u{1F600}', 1.5, null, { deep: [true] }]);
    assert.deepEqual(seen.binary, [[0, 1, 254, 255]]);
    assert.deepEqual(seen.answer, ['two', { n: 2 }]);
    assert.equal(seen.transport, transports.split(',').at(-1));
    assert.equal(seen.admin, true);
    assert.equal(seen.stranger, 'refused');
    // When the server hears of its leaving is luck: over polling the client may go before it has said so.
  });
}
