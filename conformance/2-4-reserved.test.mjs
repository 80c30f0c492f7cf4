// protocol.md 2.4: reserved event names.
import assert from 'node:assert/strict';
import { connect } from './lib/clients.mjs';
import { RawWebSocket } from './lib/raw-websocket.mjs';
import { conform } from './lib/suite.mjs';
import { onWeir, startServer } from './lib/target.mjs';
import { next } from './lib/wait.mjs';

const server = await startServer();
const reserved = ['connect', 'connect_error', 'disconnect', 'disconnecting', 'newListener', 'removeListener'];

for (const name of reserved) {
  conform(`2.4 receiving ${name} as an event closes the connection`, async (t) => {
    const ws = await RawWebSocket.open(t, server);
    const id = await ws.join();
    ws.send(`42["${name}",1]`);
    await ws.closed();
    await server.disconnected(id);
    assert.deepEqual(await server.received(id), []);
  });
}

conform('2.4 error and names near the reserved ones are ordinary events', async (t) => {
  const socket = await connect(t, server);
  for (const name of ['error', 'Connect', 'connection', 'new_namespace', 'reconnect', '', '__proto__', 'constructor', 'toString']) {
    const relayed = next(socket, name);
    socket.emit('to', { rooms: [socket.id], event: name, args: [name], self: true });
    assert.deepEqual(await relayed, [name], name);
  }
});

conform('2.4 error from a client reaches the application as an ordinary event', async (t) => {
  const ws = await RawWebSocket.open(t, server);
  const id = await ws.join();
  ws.send('42["error","not reserved"]');
  if (onWeir) assert.match(await ws.text(), /^42\["weir:error",.*"code":"no_handler"/); // nothing but the catch-all listener
  ws.send('42["echo",1]');
  assert.equal(await ws.text(), '42["echo",1]');
  const [first] = await server.received(id);
  assert.deepEqual([first.event, first.args], ['error', ['not reserved']]);
});
