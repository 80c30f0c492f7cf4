// The fixture application of FIXTURE.md on npm socket.io.

/** What the control port reports. Grows for the life of the process; a test server is short-lived. */
export class Record {
  disconnects = []; // { nsp, id, reason, rooms }
  events = []; // { nsp, id, event, args }
  marks = []; // names
}

const sorted = (set) => [...set].sort();
const list = (value) => (value === undefined ? [] : [].concat(value));

/** Declares the application's namespaces on `io`. */
export function install(io, record) {
  for (const name of ['/', '/chat', '/admin', '/steps']) {
    const nsp = io.of(name);
    nsp.on('connection', (socket) => serve(nsp, socket, record));
  }
  io.of('/admin').use((socket, proceed) => {
    if (socket.handshake.auth.token === 'secret') return proceed();
    proceed(Object.assign(new Error('Not authorized'), { data: { code: 'E_AUTH' } }));
  });
  for (const step of [1, 2]) {
    io.of('/steps').use((socket, proceed) => {
      socket.data.steps = [...list(socket.data.steps), step];
      proceed(socket.handshake.auth.fail === step ? new Error(`step ${step}`) : undefined);
    });
  }
  io.of('/steps').on('connection', (socket) => {
    socket.on('personal', (ack) => ack(socket.id));
    socket.emit('hello', { steps: socket.data.steps, rooms: sorted(socket.rooms) });
  });
}

function serve(nsp, socket, record) {
  const where = { nsp: nsp.name, id: socket.id };
  socket.onAny((event, ...args) => {
    const plain = args.filter((arg) => typeof arg !== 'function').map((arg) => (Buffer.isBuffer(arg) ? null : arg));
    record.events.push({ ...where, event, args: plain });
  });
  let rooms = [];
  socket.on('disconnecting', () => {
    rooms = sorted(socket.rooms);
  });
  socket.on('disconnect', (reason) => record.disconnects.push({ ...where, reason, rooms }));
  socket.use(([event], proceed) => proceed(event === 'blocked' ? new Error('blocked') : undefined));
  socket.on('error', () => {}); // a refused packet; nothing is told to the client

  messages(socket, record);
  acks(nsp, socket);
  membership(nsp, socket);
  leaving(nsp, socket);
}

function messages(socket, record) {
  socket.on('echo', (...args) => {
    if (typeof args.at(-1) === 'function') args.pop();
    socket.emit('echo', ...args);
  });
  socket.on('binary', (value) => {
    socket.emit('binary', { value, list: [Buffer.from([1, 2, 3]), { deep: Buffer.from([4]) }], text: 'x' }, Buffer.from([5]));
  });
  socket.on('values', () => socket.emit('values', undefined, null, new Date(0), 1));
  socket.on('count', (from, to) => {
    for (let n = from; n < to; n += 1) socket.emit('count', n);
  });
  socket.on('mark', (name) => record.marks.push(name));
  socket.on('volatile', (event, ...args) => socket.volatile.emit(event, ...args));
  socket.on('volatile-behind', ({ count, size }) => {
    for (let n = 0; n < count; n += 1) socket.emit('burst', 'x'.repeat(size));
    socket.volatile.emit('late');
  });
  socket.on('handshake', (names, done) => {
    const { headers, time, address, xdomain, secure, issued, url, query, auth } = socket.handshake;
    const wanted = Object.fromEntries(names.map((name) => [name, headers[name]]));
    done({ headers: wanted, time, address, xdomain, secure, issued, url, query, auth });
  });
}

function acks(nsp, socket) {
  const calls = new Map();
  socket.on('ack', (...args) => args.pop()(...args));
  socket.on('ack-twice', (done) => {
    done(1);
    done(2);
  });
  socket.on('ack-on', ({ key, nth }, done) => {
    const count = (calls.get(key) ?? 0) + 1;
    calls.set(key, count);
    if (count >= nth) done(count);
  });
  socket.on('server-ack', ({ timeout }, ...args) => {
    socket.timeout(timeout).emit('question', ...args, (err, ...value) => {
      socket.emit('answer', err ? { err: 'timeout' } : { value });
    });
  });
  socket.on('broadcast-ack', ({ rooms, event, args, timeout }, done) => {
    nsp.to(list(rooms)).timeout(timeout).emit(event, ...args, (err, responses) => {
      done({ err: err ? 'timeout' : null, responses });
    });
  });
}

function membership(nsp, socket) {
  socket.on('join', (rooms, done) => {
    socket.join(list(rooms));
    done();
  });
  socket.on('leave', (room, done) => {
    socket.leave(room);
    done();
  });
  socket.on('rooms', (done) => done(sorted(socket.rooms)));
  socket.on('to', (call, done) => {
    let target = (call.self ? nsp : socket).to(list(call.rooms)).except(list(call.except));
    if (call.local) target = target.local;
    if (call.volatile) target = target.volatile;
    if (call.compress === false) target = target.compress(false);
    target.emit(call.event, ...call.args);
    done?.();
  });
  socket.on('broadcast', (event, ...args) => socket.broadcast.emit(event, ...args));

  const chosen = ({ rooms, except }) => nsp.in(list(rooms)).except(list(except));
  socket.on('fetch-sockets', async (call, done) => {
    const sockets = await chosen(call).fetchSockets();
    const found = sockets.map((s) => ({ id: s.id, rooms: sorted(s.rooms) }));
    done(found.sort((a, b) => (a.id < b.id ? -1 : 1)));
  });
  socket.on('sockets-join', (call, done) => {
    chosen(call).socketsJoin(call.join);
    done();
  });
  socket.on('sockets-leave', (call, done) => {
    chosen(call).socketsLeave(call.leave);
    done();
  });
  socket.on('disconnect-sockets', (call, done) => {
    chosen(call).disconnectSockets(call.close);
    done();
  });
}

function leaving(nsp, socket) {
  socket.on('disconnect-me', (close) => socket.disconnect(close));
  socket.on('order', (done) => {
    socket.emit('a');
    done('ack');
    socket.emit('b');
    socket.disconnect();
  });
}
