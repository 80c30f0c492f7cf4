// Package enginetest runs the engines of brokers as processes of tests, and puts a proxy with faults in front of them.
package enginetest

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Options say which process.
type Options struct {
	Program string                     // a name in PATH, or in .cache/bin of the module: without it the test is skipped
	Args    func(port string) []string // on which it is to listen at 127.0.0.1
	Serves  func(addr string) bool     // whether it does, by now
	Dir     string                     // what it keeps is there
}

// Process is a server of a test, with a port that stays the same over restarts. All methods are for the goroutine of the test.
type Process struct {
	t    testing.TB
	opts Options
	path string
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

// Start starts a process, which ends with the test.
func Start(t testing.TB, o Options) *Process {
	t.Helper()
	p := &Process{t: t, opts: o, path: find(t, o.Program)}
	t.Cleanup(p.Kill)
	for range 10 { // another process may take the port first
		p.addr = FreeAddrs(t, 1)[0]
		if p.start() {
			return p
		}
	}
	t.Fatalf("%s does not start:\n%s", o.Program, p.log.String())
	return nil
}

// find is the path of a program.
func find(t testing.TB, program string) string {
	t.Helper()
	if path, err := exec.LookPath(program); err == nil {
		return path
	}
	dir, err := os.Getwd()
	for ; err == nil && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
			continue
		}
		if path, err := exec.LookPath(filepath.Join(dir, ".cache", "bin", program)); err == nil {
			return path
		}
	}
	t.Skipf("there is no %s here: make deps installs it", program)
	return ""
}

// FreeAddrs are addresses of the loopback that nobody listens on.
func FreeAddrs(t testing.TB, n int) (all []string) {
	t.Helper()
	held := make([]net.Listener, 0, n) // all of them until the last is known
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, l)
		all = append(all, l.Addr().String())
	}
	for _, l := range held {
		_ = l.Close()
	}
	return all
}

// Addr is host and port.
func (p *Process) Addr() string { return p.addr }

// start runs the process until it serves; false: it has ended.
func (p *Process) start() bool {
	_, port, _ := net.SplitHostPort(p.addr)
	p.cmd = exec.Command(p.path, p.opts.Args(port)...)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatalf("start %s: %v", p.opts.Program, err)
	}
	p.over = make(chan struct{})
	go p.run(p.cmd, p.over)
	for {
		if p.opts.Serves(p.addr) {
			return true
		}
		select {
		case <-p.over:
			p.cmd = nil
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// run waits for a process; Kill waits for it.
func (p *Process) run(cmd *exec.Cmd, over chan<- struct{}) {
	_ = cmd.Wait()
	close(over)
}

// Kill kills the process with SIGKILL, if it runs, and waits for its end.
func (p *Process) Kill() {
	if p.cmd == nil {
		return
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("kill %s: %v", p.opts.Program, err)
	}
	<-p.over
	p.cmd = nil
}

// Restart starts it again after Kill, with the data it had, or without.
func (p *Process) Restart(empty bool) {
	p.t.Helper()
	if empty {
		if err := errors.Join(os.RemoveAll(p.opts.Dir), os.Mkdir(p.opts.Dir, 0o700)); err != nil {
			p.t.Fatal(err)
		}
	}
	for range 100 { // until its port is free again
		if p.start() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	p.t.Fatalf("%s does not start again:\n%s", p.opts.Program, p.log.String())
}
