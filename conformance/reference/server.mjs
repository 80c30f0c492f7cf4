// The reference: npm socket.io with the fixture application. See FIXTURE.md.
import { createServer } from 'node:http';
import { once } from 'node:events';
import { Server } from 'socket.io';
import { Record, install } from './app.mjs';

const host = '127.0.0.1';

function controlServer(io, record) {
  const answers = {
    'GET /disconnects': () => record.disconnects,
    'GET /events': () => record.events,
    'GET /marks': () => record.marks,
    'POST /shutdown': () => {
      io.close(); // settles only when the last TCP connection is gone, which the clients decide
      return {};
    },
  };
  return createServer((request, response) => {
    const answer = answers[`${request.method} ${request.url}`];
    response.statusCode = answer ? 200 : 404;
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify(answer ? answer() : { error: request.url }));
  });
}

async function listen(server) {
  server.listen(0, host);
  await once(server, 'listening');
  return server.address().port;
}

const options = JSON.parse(process.env.FIXTURE_OPTIONS || '{}');
const record = new Record();
const clients = createServer((request, response) => {
  response.statusCode = 404;
  response.end();
});
const io = new Server(clients, options);
install(io, record);
const port = await listen(clients);
const control = await listen(controlServer(io, record));

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
process.on('SIGTERM', () => process.exit(0));
console.log(JSON.stringify({ port, control, management: 0 }));
