// Package redistest starts real Redis servers for tests, and puts a proxy with faults in front of them.
package redistest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// Redis is a redis-server process of a test: with a directory of its own, everything synced to disk before it is confirmed,
// and a port that stays the same over restarts. All methods are for the goroutine of the test.
type Redis struct {
	t    testing.TB
	args []string
	dir  string
	addr string
	cmd  *exec.Cmd     // nil: it does not run
	over chan struct{} // closed when the process has ended
	log  output
}

// output is what a process has printed.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Start starts a server, which ends with the test; args are added to its configuration, as on its command line. A machine
// without redis-server skips the test.
func Start(t testing.TB, args ...string) *Redis {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("there is no redis-server here: make deps installs it")
	}
	s := &Redis{t: t, args: args, dir: t.TempDir()}
	t.Cleanup(s.Kill)
	for range 10 { // another process may take the port first
		s.addr = freeAddr(t)
		if s.start() {
			return s
		}
	}
	t.Fatalf("redis-server does not start:\n%s", s.log.String())
	return nil
}

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer shut(l)
	return l.Addr().String()
}

// Addr is host and port.
func (s *Redis) Addr() string { return s.addr }

// start runs the process until it serves; false: it has ended.
func (s *Redis) start() bool {
	_, port, _ := net.SplitHostPort(s.addr)
	args := append([]string{
		"--port", port, "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--appendonly", "yes", "--appendfsync", "always",
		"--daemonize", "no",
	}, s.args...)
	s.cmd = exec.Command("redis-server", args...)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatalf("start redis-server: %v", err)
	}
	s.over = make(chan struct{})
	go s.run(s.cmd, s.over)
	for {
		if s.answers() {
			return true
		}
		select {
		case <-s.over:
			s.cmd = nil
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// run waits for a process; Kill waits for it.
func (s *Redis) run(cmd *exec.Cmd, over chan<- struct{}) {
	_ = cmd.Wait()
	close(over)
}

// answers reports whether it serves commands.
func (s *Redis) answers() bool {
	answer, err := s.command("PING")
	return err == nil && strings.HasPrefix(answer, "+PONG")
}

// Do sends a command without spaces in its words, and returns the beginning of the answer.
func (s *Redis) Do(command string) string {
	s.t.Helper()
	answer, err := s.command(command)
	if err != nil || strings.HasPrefix(answer, "-") {
		s.t.Fatalf("%s: %q, %v", command, answer, err)
	}
	return answer
}

func (s *Redis) command(line string) (string, error) {
	var d net.Dialer
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, err := d.DialContext(ctx, "tcp", s.addr)
	if err != nil {
		return "", err
	}
	defer shut(c)
	until, _ := ctx.Deadline()
	if err := c.SetDeadline(until); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(c, "%s\r\n", line); err != nil {
		return "", err
	}
	buf := make([]byte, 64<<10)
	n, err := c.Read(buf)
	return string(buf[:n]), err
}

// Kill kills the process with SIGKILL, if it runs, and waits for its end.
func (s *Redis) Kill() {
	if s.cmd == nil {
		return
	}
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.t.Errorf("kill redis-server: %v", err)
	}
	<-s.over
	s.cmd = nil
}

// Restart starts it again after Kill, with the data it had, or without.
func (s *Redis) Restart(empty bool) {
	s.t.Helper()
	if empty {
		if err := errors.Join(os.RemoveAll(s.dir), os.Mkdir(s.dir, 0o700)); err != nil {
			s.t.Fatal(err)
		}
	}
	for range 100 { // until its port is free again
		if s.start() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.t.Fatalf("redis-server does not start again:\n%s", s.log.String())
}
