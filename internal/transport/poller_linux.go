package transport

import (
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/turns"
)

// Poller is the epoll driver of one loop (architecture.md D4): one level-triggered epoll, the descriptors it watches, and the
// buffer all of them read into. A connection costs it a table entry; there is no goroutine, no buffer and no timer for
// it.
//
// All methods are the loop's but for Wake, and Close, which is called when the loop has ended. A descriptor belongs to
// its watcher from register to forget, or release: that clears the table entry before it closes, and an event carries the
// generation of its entry, so that neither a stale event nor a stale write can meet a descriptor used again.
type Poller struct {
	loop  base.Loop
	now   func() int64
	epoll int
	table registrations
	live  int

	// Where the loop sleeps: a second epoll, which Go's own poller watches. It has the bell, and unless it is mute the first.
	//
	//	descriptors ── epoll ──┬── outer ── Go's poller ── the loop
	//	               bell ───┘
	outer int
	mute  bool               // arrivals do not wake the loop
	file  *os.File           // outer
	park  syscall.RawConn    // of file
	look  func(uintptr) bool // p.looked, made once
	alarm int64              // the deadline of file; a sleep may end at an earlier one than it needs

	events []unix.EpollEvent
	turns  *turns.Turns // of the loop; nil: no bound
	come   int          // events heard of
	at     int          // of these, dispatched
	buf    []byte       // what descriptors read into, one at a time
	later  []reporter
	edges  []*epollEdge // for the next connections
	queues []*deadlines
	linger deadlines // of connections that close
	drain  deadlines // of those whose peer broke the protocol
	under  carried   // descriptors on their way here

	// Pressed reports whether what comes now has to wait for others anyway. The loop asks it before it sleeps; if it is so,
	// the loop dozes, see muffle. Nil: never. It is set before Open.
	Pressed func() bool

	sleeping atomic.Bool
	dozing   atomic.Bool
	rung     atomic.Bool  // the bell was, since the loop last went to sleep
	ringing  sync.RWMutex // so that Close does not close the bell under a Wake
	bell     int          // eventfd, edge-triggered and never read; -1 when closed
}

// watcher is told what its descriptor is ready for.
//
//weir:loop
type watcher interface{ ready(mask uint32) }

// reporter has something to tell that could not be told from inside a method of its own.
//
//weir:loop
type reporter interface{ report() }

const (
	pollBuffer = 64 << 10 // bytes; a read takes no more
	pollEvents = 256      // of one epoll_wait
)

const _ = uint(Owned - pollBuffer)

// Epoll says that this system has it.
const Epoll = true

// ring is what is written to a bell: eventfd(2) adds it to its count.
var ring uint64 = 1

// NewPoller returns a poller that is not open yet; now is the clock of its loop, in monotonic nanoseconds.
func NewPoller(now func() int64) *Poller {
	p := &Poller{now: now, epoll: -1, outer: -1, bell: -1}
	p.linger.expire, p.drain.expire = p.lingered, p.lingered
	p.queues = append(p.queues, &p.linger, &p.drain)
	return p
}

// Open makes the epoll for a loop that is about to run. It is called once, before all but Wake; Close undoes it.
func (p *Poller) Open(loop base.Loop) error {
	if l, ok := loop.(interface{ Turns() *turns.Turns }); ok {
		p.turns = l.Turns()
	}
	p.loop, p.events, p.buf = loop, make([]unix.EpollEvent, pollEvents), make([]byte, pollBuffer)
	var err error
	if p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("make epoll: %w", err)
	}
	p.bell, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err == nil {
		p.outer, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	}
	if err == nil {
		err = unix.EpollCtl(p.outer, unix.EPOLL_CTL_ADD, p.bell, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET})
	}
	if err == nil {
		err = unix.EpollCtl(p.outer, unix.EPOLL_CTL_ADD, p.epoll, &unix.EpollEvent{Events: unix.EPOLLIN})
	}
	if err == nil {
		err = p.openPark()
	}
	if err != nil {
		p.Close()
		return fmt.Errorf("make epoll: %w", err)
	}
	return nil
}

// openPark lets Go's poller watch the epoll. A loop asleep in a system call of its own would cost more: Go's scheduler takes
// its processor away, looks for other work, and watches the loop every 20 µs for the first millisecond after it wakes
// (bench rows one-per-send, events-1000).
func (p *Poller) openPark() (err error) {
	if err = unix.SetNonblock(p.outer, true); err != nil {
		return os.NewSyscallError("fcntl O_NONBLOCK", err)
	}
	p.file = os.NewFile(uintptr(p.outer), "epoll")
	if p.park, err = p.file.SyscallConn(); err != nil {
		return err
	}
	p.look = p.looked
	return p.file.SetReadDeadline(time.Time{}) // fails where it cannot be watched
}

// Wait sleeps until a descriptor is ready, Wake, or the end of d. idle is asked when Wake is sure to be noticed; if it
// says no, Wait returns at once.
//
//weir:loop
func (p *Poller) Wait(d time.Duration, idle func() bool) {
	if p.come > 0 || len(p.later) > 0 {
		return
	}
	now := p.now()
	for _, q := range p.queues {
		if at, ok := q.first(); ok {
			d = min(d, time.Duration(at-now))
		}
	}
	if d <= 0 {
		return // Dispatch looks
	}
	doze := p.Pressed != nil && p.Pressed()
	if doze {
		d = min(d, dozeTime)
	}
	p.rung.Store(false)
	p.sleeping.Store(true)
	p.dozing.Store(doze)
	if idle() {
		p.muffle(doze)
		p.sleep(now, now+int64(d))
	}
	p.dozing.Store(false)
	p.sleeping.Store(false)
}

// dozeTime is how long a loop dozes at most.
const dozeTime = time.Millisecond

// muffle says whether arrivals do not wake the loop. A loop that dozes is woken by Wake and by Rouse alone: what comes while
// all workers have more to do than they can would wake it for each client by itself, and take the processor from them each
// time (bench row events-1000).
func (p *Poller) muffle(on bool) {
	if on == p.mute {
		return
	}
	var ev unix.EpollEvent
	if !on {
		ev.Events = unix.EPOLLIN
	}
	if unix.EpollCtl(p.outer, unix.EPOLL_CTL_MOD, p.epoll, &ev) == nil {
		p.mute = on
	}
}

// Rouse is Wake for a loop that dozes: there is no more reason for it. Any goroutine may call it.
func (p *Poller) Rouse() {
	if p.dozing.Load() {
		p.Wake()
	}
}

// sleep parks the loop until the epoll has something, or until a time.
//
//weir:loop
func (p *Poller) sleep(now, until int64) {
	if p.alarm <= now || p.alarm > until {
		p.alarm = until
		_ = p.file.SetReadDeadline(time.Now().Add(time.Duration(until - now))) // openPark has shown that it can be set
	}
	if p.park.Read(p.look) != nil { // the deadline has passed
		p.alarm = 0
	}
}

// looked reports whether the epoll has anything; it is what a sleep ends with.
func (p *Poller) looked(uintptr) bool {
	if !p.mute {
		p.come = p.poll()
	}
	return p.come > 0 || p.rung.Load()
}

// poll takes what has come, without waiting, so that Go's scheduler need not be told.
func (p *Poller) poll() int {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epoll), uintptr(unsafe.Pointer(&p.events[0])),
		uintptr(len(p.events)), 0, 0, 0)
	if errno != 0 { // EINTR: the loop comes back; anything else would be a bug of this file
		return 0
	}
	return int(n)
}

// Wake ends a Wait that is under way or about to begin. It costs a system call only then. Any goroutine may call it.
func (p *Poller) Wake() {
	if !p.sleeping.Load() {
		return
	}
	p.ringing.RLock()
	defer p.ringing.RUnlock()
	if p.bell >= 0 {
		p.rung.Store(true)
		// Raw as it never blocks. It fails only when 2^64 wakes were not noticed.
		_, _, _ = unix.RawSyscall(unix.SYS_WRITE, uintptr(p.bell), uintptr(unsafe.Pointer(&ring)), unsafe.Sizeof(ring))
	}
}

// Dispatch deals with what descriptors are ready for and with deadlines that have passed, and reports whether there was
// anything.
//
//weir:loop
func (p *Poller) Dispatch() bool {
	if p.come == 0 && p.live > 0 {
		p.come = p.poll()
	}
	worked := len(p.later) > 0
	for p.at < p.come && !p.turns.Over() { // the others are the first of the next step
		ev := p.events[p.at]
		p.at++
		e := p.table.at(int(ev.Fd))
		if e.w == nil || int32(e.gen) != ev.Pad {
			continue // closed, or used again, since the kernel said so
		}
		e.w.ready(ev.Events)
		worked = true
	}
	if p.at == p.come {
		p.come, p.at = 0, 0
	}
	p.reportLater()
	now := p.now()
	for _, q := range p.queues {
		worked = q.advance(now) || worked
	}
	return worked
}

// reportLater lets those report that have asked for it; who asks meanwhile comes next time.
//
//weir:loop
func (p *Poller) reportLater() {
	batch := p.later
	p.later = nil
	for i, r := range batch {
		r.report()
		batch[i] = nil
	}
	if p.later == nil {
		p.later = batch[:0]
	}
}

// register begins to watch a descriptor, which then belongs to w.
//
//weir:loop
func (p *Poller) register(fd int, w watcher, mask uint32) (gen uint32, err error) {
	gen = p.table.next()
	ev := unix.EpollEvent{Events: mask, Fd: int32(fd), Pad: int32(gen)}
	if err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return 0, os.NewSyscallError("epoll_ctl add", err)
	}
	p.table.put(fd, registration{w, gen})
	p.live++
	return gen, nil
}

// watch changes what a registered descriptor is watched for.
//
//weir:loop
func (p *Poller) watch(fd int, mask uint32) {
	ev := unix.EpollEvent{Events: mask, Fd: int32(fd), Pad: int32(p.table.at(fd).gen)}
	_ = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_MOD, fd, &ev) // registered by construction
}

// forget ends what register began, and closes the descriptor, which takes it out of the epoll: no other descriptor shares
// its description.
//
//weir:loop
func (p *Poller) forget(fd int) {
	p.table.remove(fd)
	p.live--
	_ = unix.Close(fd)
}

// release ends what register began; the descriptor stays open and is the caller's.
//
//weir:loop
func (p *Poller) release(fd int) {
	p.table.remove(fd)
	p.live--
	_ = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, fd, nil)
}

// owns reports whether a descriptor is still that of the registration with this generation.
//
//weir:loop
func (p *Poller) owns(fd int, gen uint32) bool {
	e := p.table.at(fd)
	return e.w != nil && e.gen == gen
}

// tell lets r report in the next Dispatch.
//
//weir:loop
func (p *Poller) tell(r reporter) { p.later = append(p.later, r) }

// Close closes what is left, and what was on its way. The loop has ended: nobody is told. Idempotent.
func (p *Poller) Close() {
	p.table.all(func(fd int) {
		p.land(fd)
		p.forget(fd)
	})
	p.closeCarried()
	p.ringing.Lock()
	defer p.ringing.Unlock()
	if p.file != nil {
		_ = p.file.Close() // and with it outer
		p.file, p.outer = nil, -1
	}
	for _, fd := range []*int{&p.bell, &p.outer, &p.epoll} {
		if *fd >= 0 {
			_ = unix.Close(*fd)
			*fd = -1
		}
	}
}

// lingered ends a connection whose peer has not answered a goodbye in time.
//
//weir:loop
func (p *Poller) lingered(fd int, gen uint32) {
	if !p.owns(fd, gen) {
		return
	}
	if s, ok := p.table.at(fd).w.(*epollConn); ok {
		s.end(os.ErrDeadlineExceeded)
	}
}

// takeDescriptor takes a connection over from Go's poller: conn is closed and its descriptor kept under another number.
// Any goroutine may call it.
func takeDescriptor(conn net.Conn) (fd int, err error) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return 0, fmt.Errorf("take descriptor of %T: not TCP", conn)
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0, err
	}
	var dupErr error
	// Not File: it makes the shared description blocking.
	err = raw.Control(func(old uintptr) { fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) })
	if err == nil {
		err = os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", dupErr)
	}
	closeNow(conn)
	return fd, err
}
