package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// acceptSlice is how many connections one loop accepts in one turn, so that those it has are served meanwhile;
// acceptPause how long it leaves the others waiting when descriptors have run out.
const (
	acceptSlice = 32
	acceptPause = 50 * time.Millisecond
)

// deferAccept is how many seconds the kernel keeps a connection to itself that has sent nothing (TCP_DEFER_ACCEPT): most
// are read at once when they are accepted.
const deferAccept = 5

// IntakeOptions configure an Intake.
type IntakeOptions struct {
	Socket      TCPOptions
	HeadTimeout time.Duration  // for a request's header to arrive
	Keep        func() bool    // whether requests may be kept beyond Arrive; nil: they may
	Proxy       *ProxyOptions  // whose connections are introduced by the PROXY protocol; nil: nobody's
	Arrive      func(*Arrival) // takes requests to become a websocket, on the loop that accepted them
}

// Intake accepts the connections of one port on the loops of pollers. Those whose first request asks for a websocket are
// handed to Arrive on their loop; all others come out of Accept, with what was read, for a net/http server: Intake is
// its net.Listener.
//
// Every loop watches a descriptor of its own of the one listening socket, and whichever is free accepts. Whose the
// connection is to be is decided when its request is known (Arrival.Move).
type Intake struct {
	options IntakeOptions
	addr    net.Addr
	loops   []*intakeLoop
	others  chan net.Conn
	spare   spare
	started bool
	once    sync.Once
	done    chan struct{} // closed by Close

	// Failed counts connections lost for want of descriptors or memory, or because the net/http server was too slow.
	Failed atomic.Uint64
}

// intakeLoop is the part of an Intake on one loop, which alone touches it.
//
//weir:loop
type intakeLoop struct {
	intake *Intake
	poller *Poller
	index  int
	fd     int // of the listening socket
	gen    uint32
	closed bool
	from   unix.RawSockaddrAny
	zones  map[uint32]string // names of interfaces, for link-local peers
	spare  *fields           // for the next request
	idle   *Arrival          // for the next connection
	over   chan struct{}     // closed when the loop has let go
	heads  deadlines         // of connections whose header has not come
	pause  deadlines         // of the loop's own accepting
}

// NewIntake takes a TCP listener over, also when it fails. Nothing is accepted before Start.
func NewIntake(ln net.Listener, pollers []*Poller, o IntakeOptions) (*Intake, error) {
	in := &Intake{options: o, addr: ln.Addr(), others: make(chan net.Conn, 1024), done: make(chan struct{})}
	err := in.takeOver(ln, pollers)
	if err == nil {
		err = o.Socket.tuneListener(in.loops[0].fd)
	}
	if err = errors.Join(err, ln.Close()); err != nil {
		in.abandon()
		return nil, fmt.Errorf("accept on %v: %w", ln.Addr(), err)
	}
	in.spare.keep()
	return in, nil
}

// takeOver gives each loop a descriptor of the listening socket.
func (in *Intake) takeOver(ln net.Listener, pollers []*Poller) error {
	tcp, ok := ln.(*net.TCPListener)
	if !ok {
		return fmt.Errorf("%T is not TCP", ln)
	}
	for i, p := range pollers {
		fd, err := dupListener(tcp)
		if err != nil {
			return err
		}
		if !p.carry(fd) {
			_ = unix.Close(fd)
			return ErrClosed
		}
		l := &intakeLoop{intake: in, poller: p, index: i, fd: fd, over: make(chan struct{})}
		l.heads = deadlines{after: int64(in.options.HeadTimeout), expire: l.late}
		l.pause = deadlines{after: int64(acceptPause), expire: func(int, uint32) { l.open() }}
		in.loops = append(in.loops, l)
	}
	return nil
}

// abandon closes what NewIntake has made.
func (in *Intake) abandon() {
	for _, l := range in.loops {
		l.shut()
	}
}

func dupListener(ln *net.TCPListener) (fd int, err error) {
	raw, err := ln.SyscallConn()
	if err != nil {
		return 0, err
	}
	var dupErr error
	err = raw.Control(func(old uintptr) { fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) })
	return fd, errors.Join(err, os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", dupErr))
}

// tuneListener sets what accepted sockets inherit: a connection then costs no call for its options.
func (o TCPOptions) tuneListener(fd int) error {
	set := func(name string, option, value int) error {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, option, value); err != nil {
			return fmt.Errorf("set %s to %d: %w", name, value, err)
		}
		return nil
	}
	errs := []error{
		set("TCP_NODELAY", unix.TCP_NODELAY, 1),
		set("TCP_DEFER_ACCEPT", unix.TCP_DEFER_ACCEPT, deferAccept),
	}
	if o.NotSentLowat > 0 {
		errs = append(errs, set("TCP_NOTSENT_LOWAT", unix.TCP_NOTSENT_LOWAT, o.NotSentLowat))
	}
	if o.UserTimeout > 0 {
		errs = append(errs, set("TCP_USER_TIMEOUT", unix.TCP_USER_TIMEOUT, o.userTimeout()))
	}
	return errors.Join(errs...)
}

// Start begins to accept. Called once, before Accept.
func (in *Intake) Start() {
	in.started = true
	for _, l := range in.loops {
		l.poller.loop.Post(intakeTask{l, l.begin})
	}
}

type intakeTask struct {
	l *intakeLoop
	f func()
}

func (t intakeTask) Run() { t.f() }

// Accept returns the next connection that is for net/http; it implements net.Listener.
func (in *Intake) Accept() (net.Conn, error) {
	select {
	case c := <-in.others:
		return c, nil
	case <-in.done:
		return nil, net.ErrClosed
	}
}

// Addr implements net.Listener.
func (in *Intake) Addr() net.Addr { return in.addr }

// Close stops accepting and closes connections whose first request has not come; it waits for the loops to have done
// so, or to be done. Idempotent, but not concurrently with Start; a loop must not call it.
func (in *Intake) Close() error {
	defer in.spare.drop()
	in.once.Do(func() {
		if !in.started {
			in.abandon()
			close(in.done)
			return
		}
		for _, l := range in.loops {
			l.poller.loop.Post(intakeTask{l, l.end})
		}
		close(in.done)
		for _, l := range in.loops {
			select {
			case <-l.over:
			case <-l.poller.loop.Done():
			}
		}
	})
	for {
		select {
		case c := <-in.others:
			_ = c.Close()
		default:
			return nil
		}
	}
}

// passOn gives a connection to net/http with the bytes read of it, and who it is from.
func (in *Intake) passOn(fd int, head []byte, remote netip.AddrPort) {
	conn, err := in.spare.conn(fd)
	if err != nil {
		in.Failed.Add(1)
		return
	}
	select {
	case in.others <- &readConn{Conn: conn, ahead: bytes.Clone(head), remote: remote}:
	default:
		in.Failed.Add(1)
		_ = conn.Close()
	}
}

// fields are for one request.
func (l *intakeLoop) fields() *fields {
	f := l.spare
	l.spare = nil
	if f == nil {
		return newFields()
	}
	f.reset()
	return f
}

func (l *intakeLoop) begin() {
	l.poller.queues = append(l.poller.queues, &l.heads, &l.pause)
	if l.index == 0 {
		l.open()
	}
}

// open watches the listening socket. One loop does at a time: if all did, each connection would wake all that sleep, as
// EPOLLEXCLUSIVE sees nobody wait in an epoll that is itself watched. Loops never block, so newcomers do not wait for a
// slow one; who has more than a turn's worth passes the watch on.
func (l *intakeLoop) open() {
	if l.closed {
		return
	}
	gen, err := l.poller.register(l.fd, l, unix.EPOLLIN)
	if err != nil { // out of kernel memory: later
		l.pause.add(l.poller.now(), l.fd, 0)
		return
	}
	l.gen = gen
}

// end undoes begin.
func (l *intakeLoop) end() {
	defer close(l.over)
	l.closed = true
	if l.poller.owns(l.fd, l.gen) {
		l.poller.release(l.fd)
	}
	l.shut()
	for _, d := range l.heads.queue {
		l.late(int(d.fd), d.gen)
	}
	l.heads.queue, l.pause.queue = nil, nil
}

// shut closes the descriptor of the listening socket, which is the poller's until then.
func (l *intakeLoop) shut() {
	if l.poller.land(l.fd) {
		_ = unix.Close(l.fd)
	}
}

// late drops a connection whose header has not come in time.
func (l *intakeLoop) late(fd int, gen uint32) {
	if !l.poller.owns(fd, gen) {
		return
	}
	if a, ok := l.poller.table.at(fd).w.(*Arrival); ok {
		a.drop()
	}
}

// ready implements watcher: connections wait to be accepted.
func (l *intakeLoop) ready(uint32) {
	for range acceptSlice {
		if l.poller.turns.Over() {
			break
		}
		fd, errno := l.accept()
		switch errno {
		case 0:
			if l.intake.options.Socket.above(fd) {
				l.intake.Failed.Add(1)
				_ = unix.Close(fd)
				continue
			}
			l.arrive(fd, l.peer())
		case unix.EAGAIN:
			return
		case unix.ECONNABORTED, unix.EINTR:
		default: // EMFILE, ENFILE, ENOMEM: the connection keeps waiting, and would wake us at once
			l.intake.Failed.Add(1)
			l.poller.release(l.fd)
			l.pause.add(l.poller.now(), l.fd, 0)
			return
		}
	}
	l.pass()
}

// pass leaves those that wait to the next loop.
func (l *intakeLoop) pass() {
	loops := l.intake.loops
	if len(loops) > 1 {
		next := loops[(l.index+1)%len(loops)]
		l.poller.release(l.fd)
		next.poller.loop.Post(intakeTask{next, next.open})
	}
}

// accept takes a connection that waits; its peer's address is in from. It never blocks, and makes no garbage.
func (l *intakeLoop) accept() (fd int, errno unix.Errno) {
	size := uint32(unsafe.Sizeof(l.from))
	got, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(l.fd), uintptr(unsafe.Pointer(&l.from)),
		uintptr(unsafe.Pointer(&size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	return int(got), errno
}

// arrive reads what has come with a new connection.
func (l *intakeLoop) arrive(fd int, remote netip.AddrPort) {
	a := l.idle
	if l.idle = nil; a == nil {
		a = new(Arrival)
	}
	*a = Arrival{intake: l, fd: fd, remote: remote, header: a.header, unnamed: l.intake.options.Proxy.expects(remote.Addr())}
	clear(a.header)
	if a.read(); a.intake == l && a.over { // on another loop it is that one's
		l.idle = a
	}
}

// peer is the address accept has left, as package net has it. Ports are in network order.
func (l *intakeLoop) peer() netip.AddrPort {
	from := &l.from
	port := func(p *uint16) uint16 { return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(p))[:]) }
	switch from.Addr.Family {
	case unix.AF_INET:
		n := (*unix.RawSockaddrInet4)(unsafe.Pointer(from))
		return netip.AddrPortFrom(netip.AddrFrom4(n.Addr), port(&n.Port))
	case unix.AF_INET6:
		n := (*unix.RawSockaddrInet6)(unsafe.Pointer(from))
		addr := netip.AddrFrom16(n.Addr)
		if n.Scope_id != 0 {
			addr = addr.WithZone(l.zone(n.Scope_id))
		}
		return netip.AddrPortFrom(addr.Unmap(), port(&n.Port))
	}
	return netip.AddrPort{}
}

// zone is the name of an interface, remembered as it is asked of the kernel.
func (l *intakeLoop) zone(id uint32) string {
	name, known := l.zones[id]
	if known {
		return name
	}
	name = strconv.Itoa(int(id))
	if i, err := net.InterfaceByIndex(int(id)); err == nil {
		name = i.Name
	}
	if l.zones == nil {
		l.zones = make(map[uint32]string)
	}
	l.zones[id] = name
	return name
}

// leave ends the poller's watch over an arrival; its descriptor stays open.
func (l *intakeLoop) leave(a *Arrival) {
	if a.watch {
		a.watch = false
		l.poller.release(a.fd)
	}
}
