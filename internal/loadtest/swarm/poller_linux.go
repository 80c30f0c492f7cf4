package swarm

import (
	"encoding/binary"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// batch is how many events one wait takes: a turn stays short enough for what is due.
const batch = 256

// own marks, in place of a group, the events of the poller's own descriptors.
const own = -1

// poller is level-triggered epoll with a doorbell and an alarm.
type poller struct {
	epoll  int
	bell   int // eventfd: rung by other threads
	alarm  int // timerfd: epoll's own time-out counts in milliseconds
	armed  int64
	events [batch]unix.EpollEvent
}

func newPoller() (*poller, error) {
	p := &poller{epoll: -1, bell: -1, alarm: -1}
	err := p.open()
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// open leaves -1 where it did not get to.
func (p *poller) open() (err error) {
	if p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	if p.bell, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return os.NewSyscallError("eventfd", err)
	}
	if p.alarm, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return os.NewSyscallError("timerfd_create", err)
	}
	for _, fd := range []int{p.bell, p.alarm} { // edge-triggered: they need never be read
		e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Pad: own}
		if err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &e); err != nil {
			return os.NewSyscallError("epoll_ctl", err)
		}
	}
	return nil
}

func (p *poller) close() {
	for _, fd := range []int{p.epoll, p.bell, p.alarm} {
		if fd >= 0 {
			_ = unix.Close(fd) // nothing is buffered in them
		}
	}
}

// wake ends a wait. Any thread may call it before close.
func (p *poller) wake() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(p.bell, one[:]) // fails on a full counter only: after 2^64 calls
}

func mask(i interest) (events uint32) {
	if i&wantRead != 0 {
		events |= unix.EPOLLIN
	}
	if i&wantWrite != 0 {
		events |= unix.EPOLLOUT
	}
	if i&wantHangup != 0 {
		events |= unix.EPOLLRDHUP
	}
	return events
}

// add registers a client's descriptor; group and client are what wait calls it by. Closing it is enough to end that.
func (p *poller) add(fd, group, client int, i interest) error {
	e := unix.EpollEvent{Events: mask(i), Fd: int32(client), Pad: int32(group)}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &e))
}

func (p *poller) change(fd, group, client int, i interest) error {
	e := unix.EpollEvent{Events: mask(i), Fd: int32(client), Pad: int32(group)}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.epoll, unix.EPOLL_CTL_MOD, fd, &e))
}

// wait blocks until something is ready, wake was called, or the moment of nanos has come: never for a moment past,
// without end for 0.
func (p *poller) wait(until int64, on func(group, client int, what readiness)) error {
	block := -1
	if until > 0 {
		if now := nanos(); until <= now {
			block = 0
		} else if err := p.arm(until, now); err != nil {
			return err
		}
	}
	n, err := unix.EpollWait(p.epoll, p.events[:], block)
	if errors.Is(err, unix.EINTR) {
		return nil
	}
	if err != nil {
		return os.NewSyscallError("epoll_wait", err)
	}
	for _, e := range p.events[:n] {
		if e.Pad == own {
			continue
		}
		var what readiness
		if e.Events&unix.EPOLLIN != 0 {
			what |= canRead
		}
		if e.Events&unix.EPOLLOUT != 0 {
			what |= canWrite
		}
		if e.Events&unix.EPOLLRDHUP != 0 {
			what |= hungUp
		}
		if e.Events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
			what |= broken
		}
		on(int(e.Pad), int(e.Fd), what)
	}
	return nil
}

// arm sets the alarm. One that is set to an earlier moment is left: it wakes the loop once for nothing.
func (p *poller) arm(until, now int64) error {
	if p.armed > now && p.armed <= until {
		return nil
	}
	p.armed = until
	at := unix.ItimerSpec{Value: unix.NsecToTimespec(until)}
	return os.NewSyscallError("timerfd_settime", unix.TimerfdSettime(p.alarm, unix.TFD_TIMER_ABSTIME, &at, nil))
}
