package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/streamweir/weir/internal/loadtest/report"
)

// What a websocket handshake of a load client and the answer to it look like on the wire (RFC 6455 4).
const (
	upgrade = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:3000\r\nUpgrade: websocket\r\n" +
		"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
	switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)

// underWay is how many clients connect at the same time.
const underWay = 256

// acceptPatience bounds the whole run: a client that is not answered must not hold it up for ever.
const acceptPatience = time.Minute

// accept admits clients with an answer that nobody had to compute, and measures what one of them costs.
func accept(p plan) (*report.Run, error) {
	listener, at, err := listen()
	if err != nil {
		return nil, err
	}
	defer unix.Close(listener) //nolint:errcheck // it has served
	ctx, cancel := context.WithTimeout(context.Background(), acceptPatience)
	defer cancel()
	started := time.Now()
	clients, err := startClients(ctx, p, at.Port)
	if err != nil {
		return nil, err
	}
	var ends []int // of the server; open until the clients are through
	a := admit(p, listener, &ends)
	if a.err != nil {
		cancel() // nobody answers the clients any more
	}
	err = errors.Join(a.err, clients.Wait())
	closeAll(ends)
	if err != nil {
		return nil, fmt.Errorf("accept: %w", err)
	}
	return &report.Run{
		Title:   fmt.Sprintf("accept, read a request, write a canned 101: %d clients", p.clients),
		Started: started, Seconds: a.took.Seconds(),
		Figures: []report.Figure{
			{Name: "CPU per connect", Value: float64(a.cpu.Nanoseconds()) / 1e3 / float64(p.clients), Unit: "us", Main: true},
			{Name: "connects/s", Value: float64(p.clients) / a.took.Seconds(), Unit: "/s"},
		},
	}, nil
}

// startClients starts this program as the clients: a process may not have descriptors enough for both ends of 10,000
// connections. They end by themselves, and soon after the server is gone.
func startClients(ctx context.Context, p plan, port int) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, clientRole, "-clients", strconv.Itoa(p.clients), "-rate", strconv.FormatFloat(p.rate, 'f', -1, 64),
		"-load-cpu", strconv.Itoa(p.otherCPU), "-port", strconv.Itoa(port))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the clients: %w", err)
	}
	return cmd, nil
}

type outcome struct {
	cpu, took time.Duration
	err       error
}

// admit is the server: its thread's time counts. It ends when all clients have been answered.
func admit(p plan, listener int, ends *[]int) (o outcome) {
	if o.err = pin(p.serverCPU); o.err != nil {
		return o
	}
	defer runtime.UnlockOSThread()
	e, err := newPoller()
	if err != nil {
		return outcome{err: err}
	}
	defer e.close()
	if err := e.add(listener); err != nil {
		return outcome{err: err}
	}
	started := time.Now()
	before, err := processTime()
	if err != nil {
		return outcome{err: err}
	}
	if err := answerAll(e, listener, p.clients, ends); err != nil {
		return outcome{err: err}
	}
	after, err := processTime()
	return outcome{after - before, time.Since(started), err}
}

// answerAll accepts and answers n clients.
func answerAll(e *poller, listener, n int, ends *[]int) error {
	buffer := make([]byte, 4<<10)
	deadline := time.Now().Add(acceptPatience)
	enter := func(fd int) error {
		*ends = append(*ends, fd)
		return e.add(fd)
	}
	for answered := 0; answered < n; {
		if time.Now().After(deadline) {
			return fmt.Errorf("%d of %d clients came in %v", answered, n, acceptPatience)
		}
		ready, err := e.wait(100)
		if err != nil {
			return err
		}
		for _, event := range ready {
			fd := int(event.Fd)
			if fd == listener {
				if err := take(listener, enter); err != nil {
					return err
				}
				continue
			}
			if n, err := unix.Read(fd, buffer); n <= 0 {
				return fmt.Errorf("read a request: %d bytes (%w)", n, err)
			}
			if _, err := unix.Write(fd, []byte(switching)); err != nil {
				return os.NewSyscallError("write", err)
			}
			answered++
		}
	}
	return nil
}

// connectAll is the clients, underWay of them at a time, in a process of their own.
func connectAll(p plan) error {
	at := &unix.SockaddrInet4{Port: p.port, Addr: [4]byte{127, 0, 0, 1}}
	if err := pin(p.otherCPU); err != nil {
		return err
	}
	e, err := newPoller()
	if err != nil {
		return err
	}
	defer e.close()
	var fds []int
	defer func() { closeAll(fds) }()
	buffer := make([]byte, 4<<10)
	deadline := time.Now().Add(acceptPatience)
	began := time.Now()
	due := func() int { // clients that may have come by now
		if p.rate <= 0 {
			return p.clients
		}
		return min(1+int(time.Since(began).Seconds()*p.rate), p.clients)
	}
	for answered := 0; answered < p.clients; {
		for len(fds) < due() && len(fds)-answered < underWay {
			fd, err := dial(at, len(fds))
			if err != nil {
				return err
			}
			fds = append(fds, fd)
			if _, err := unix.Write(fd, []byte(upgrade)); err != nil {
				return fmt.Errorf("ask for a websocket: %w", err)
			}
			if err := e.add(fd); err != nil {
				return err
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d of %d clients were answered in %v", answered, p.clients, acceptPatience)
		}
		patience := 100 // ms
		if p.rate > 0 {
			patience = 0 // a timer would let them come in heaps, and these have a core to themselves
		}
		ready, err := e.wait(patience)
		if err != nil {
			return err
		}
		for _, event := range ready {
			if !discard(int(event.Fd), buffer) {
				return errors.New("the server has closed a connection")
			}
			answered++
		}
	}
	return nil
}
