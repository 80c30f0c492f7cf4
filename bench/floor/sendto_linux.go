package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/streamweir/weir/internal/loadtest/report"
)

// warmUp is before measuring: the first sends find cold sockets and small windows.
const warmUp = 500 * time.Millisecond

// sendto sends one message to each connection, round after round, and measures what one send costs.
func sendto(p plan) (*report.Run, error) {
	ends, others, err := pairs(p.clients)
	defer func() { closeAll(ends); closeAll(others) }()
	if err != nil {
		return nil, err
	}
	var stop atomic.Bool
	drained := make(chan error, 1)
	go func() { drained <- drain(p.otherCPU, others, &stop) }()
	run, err := sendRounds(p, ends)
	stop.Store(true)
	return run, errors.Join(err, <-drained)
}

// pairs makes n connections and returns both ends of them.
func pairs(n int) (ends, others []int, err error) {
	listener, at, err := listen()
	if err != nil {
		return nil, nil, err
	}
	defer unix.Close(listener) //nolint:errcheck // it has served
	for i := range n {
		fd, err := dial(at, i)
		if err != nil {
			return ends, others, err
		}
		others = append(others, fd)
		for len(ends) <= i {
			if err := take(listener, func(fd int) error { ends = append(ends, fd); return nil }); err != nil {
				return ends, others, err
			}
		}
	}
	return ends, others, nil
}

// drain reads all of it away until stop.
func drain(cpu int, fds []int, stop *atomic.Bool) error {
	if err := pin(cpu); err != nil {
		return err
	}
	p, err := newPoller()
	if err != nil {
		return err
	}
	defer p.close()
	for _, fd := range fds {
		if err := p.add(fd); err != nil {
			return err
		}
	}
	buffer := make([]byte, 64<<10)
	for !stop.Load() {
		ready, err := p.wait(50)
		if err != nil {
			return err
		}
		for _, e := range ready {
			discard(int(e.Fd), buffer)
		}
	}
	return nil
}

// sendRounds runs on the thread whose time counts.
func sendRounds(p plan, fds []int) (*report.Run, error) {
	if err := pin(p.serverCPU); err != nil {
		return nil, err
	}
	defer runtime.UnlockOSThread()
	message := make([]byte, p.size)
	step := time.Duration(float64(time.Second) / p.rate)
	round := func(until time.Time) (sends int, err error) {
		for due := time.Now(); due.Before(until); due = due.Add(step) {
			time.Sleep(time.Until(due))
			for _, fd := range fds {
				if _, err := unix.SendmsgN(fd, message, nil, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT); err != nil {
					return sends, os.NewSyscallError("sendto", err)
				}
				sends++
			}
		}
		return sends, nil
	}
	if _, err := round(time.Now().Add(warmUp)); err != nil {
		return nil, err
	}
	started := time.Now()
	before, err := threadTime()
	if err != nil {
		return nil, err
	}
	sends, err := round(started.Add(p.duration))
	if err != nil {
		return nil, err
	}
	after, err := threadTime()
	if err != nil {
		return nil, err
	}
	return &report.Run{
		Title:   fmt.Sprintf("sendto: %d B to each of %d connections, %g times a second", p.size, p.clients, p.rate),
		Started: started, Seconds: time.Since(started).Seconds(),
		Figures: []report.Figure{
			{Name: "CPU per send", Value: float64((after - before).Nanoseconds()) / 1e3 / float64(sends), Unit: "us", Main: true},
			{Name: "sends", Value: float64(sends)},
		},
	}, nil
}
