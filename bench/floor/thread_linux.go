package main

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// pin keeps the calling goroutine on a thread of its own, and that on a CPU. The thread ends with the goroutine.
func pin(cpu int) error {
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(cpu)
	return os.NewSyscallError(fmt.Sprintf("sched_setaffinity to CPU %d", cpu), unix.SchedSetaffinity(0, &set))
}

// processTime is the CPU time of this process so far, user and system.
func processTime() (time.Duration, error) { return usage(unix.RUSAGE_SELF) }

// threadTime is the CPU time of the calling thread so far, user and system: on loopback also that of the receiving half
// of the TCP stack, which runs in the sender's time.
func threadTime() (time.Duration, error) { return usage(unix.RUSAGE_THREAD) }

func usage(who int) (time.Duration, error) {
	var u unix.Rusage
	if err := unix.Getrusage(who, &u); err != nil {
		return 0, os.NewSyscallError("getrusage", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// poller is an epoll of level-triggered readers.
type poller struct {
	fd     int
	events [256]unix.EpollEvent
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	return &poller{fd: fd}, nil
}

func (p *poller) add(fd int) error {
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}))
}

// wait returns what can be read, nothing after that many milliseconds.
func (p *poller) wait(milliseconds int) ([]unix.EpollEvent, error) {
	n, err := unix.EpollWait(p.fd, p.events[:], milliseconds)
	if err == unix.EINTR {
		return nil, nil
	}
	return p.events[:max(n, 0)], os.NewSyscallError("epoll_wait", err)
}

func (p *poller) close() { _ = unix.Close(p.fd) }
