// npm's socket.io as the standing comparison measures it: subscribers of a topic are a room, and a client's publish is
// a broadcast to it. It logs as the rig reads it: a JSON object a line on stderr, "listening", then "ready".
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { Server } from 'socket.io';

const { TLS_CERT, TLS_KEY } = process.env;
const http = TLS_CERT ? createSecureServer({ cert: readFileSync(TLS_CERT), key: readFileSync(TLS_KEY) }) : createServer();
const io = new Server(http, { transports: ['websocket'], serveClient: false });
const feed = io.of('/feed');

feed.on('connection', (socket) => {
  socket.on('subscribe', ({ topic }, answer) => {
    socket.join(topic);
    answer({ ok: true });
  });
  socket.on('event', ({ n }, answer) => {
    answer({ ok: true, n });
  });
  socket.on('publish', ({ topic, payload }) => {
    feed.to(topic).emit(topic, payload);
  });
});

process.on('SIGTERM', () => process.exit(0));

http.listen(0, process.env.HOST ?? '127.0.0.1', () => {
  const { address, port } = http.address();
  console.error(JSON.stringify({ msg: 'listening', server: 'bench', address: `${address}:${port}` }));
  console.error(JSON.stringify({ msg: 'ready' }));
});
