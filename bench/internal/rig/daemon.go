package rig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"time"
)

// Daemon is a process that is of use once it accepts connections, and says nothing of itself. One goroutine at a time.
type Daemon struct {
	Addr   string // host:port
	cmd    *exec.Cmd
	cancel context.CancelFunc
	over   chan error // has its end
}

// StartDaemon starts what listens on a port of 127.0.0.1, a free one, and waits until it accepts.
func StartDaemon(ctx context.Context, command func(port string) Command) (*Daemon, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("find a free port: %w", err)
	}
	d := &Daemon{Addr: l.Addr().String(), over: make(chan error, 1)}
	if err := l.Close(); err != nil {
		return nil, fmt.Errorf("find a free port: %w", err)
	}
	_, port, err := net.SplitHostPort(d.Addr)
	if err != nil {
		return nil, err
	}
	ctx, d.cancel = context.WithCancel(ctx)
	c := command(port)
	d.cmd = c.exec(ctx)
	if err := d.cmd.Start(); err != nil {
		d.cancel()
		return nil, fmt.Errorf("start %s: %w", c.Args[0], err)
	}
	go func() { d.over <- d.cmd.Wait() }() // Stop waits for it
	for late := time.After(startTimeout); ; {
		if c, err := net.DialTimeout("tcp", d.Addr, time.Second); err == nil {
			return d, c.Close()
		}
		select {
		case err := <-d.over:
			d.cancel()
			return nil, fmt.Errorf("%s has ended: %w", c.Args[0], err)
		case <-late:
			return nil, errors.Join(fmt.Errorf("%s does not accept connections", c.Args[0]), d.Stop())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Stop ends it, with SIGTERM at first.
func (d *Daemon) Stop() error {
	d.cancel()
	err := <-d.over
	var status *exec.ExitError
	if err == nil || errors.Is(err, context.Canceled) || errors.As(err, &status) {
		return nil // it was told to
	}
	return err
}
