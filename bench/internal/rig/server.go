package rig

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	startTimeout = 60 * time.Second
	stopTimeout  = 10 * time.Second // from SIGTERM to SIGKILL
	keptLog      = 20               // lines of a server's log that an error shows
)

// Command is how to start a process.
type Command struct {
	CPU  string // as `taskset -c` takes it; "" = wherever the kernel likes
	Args []string
	Env  []string          // besides this process's
	Log  func(line string) // gets each line of a server's log, from a goroutine of its own; nil: nobody
}

func (c Command) exec(ctx context.Context) *exec.Cmd {
	args := c.Args
	if c.CPU != "" {
		args = append([]string{"taskset", "-c", c.CPU}, args...) // becomes the command: the pid is the same
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout
	return cmd
}

// Server is a running server under test. One goroutine at a time.
type Server struct {
	name   string
	cmd    *exec.Cmd
	tell   func(line string) // nil: nobody
	cancel context.CancelFunc
	addrs  map[string]string
	reader sync.WaitGroup

	mu   sync.Mutex
	tail []string
}

// logLine is what a server writes to stderr, a JSON object a line: "listening" for each port, then "ready".
type logLine struct {
	Msg     string `json:"msg"`
	Server  string `json:"server"`
	Address string `json:"address"`
}

// StartServer starts a server and waits until it is ready.
func StartServer(ctx context.Context, c Command) (*Server, error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &Server{name: c.Args[0], cmd: c.exec(ctx), tell: c.Log, cancel: cancel, addrs: map[string]string{}}
	stderr, err := s.cmd.StderrPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("start %s: %w", s.name, err)
	}
	ready := make(chan struct{})
	s.reader.Go(func() { s.readLog(stderr, ready) })
	select {
	case <-ready:
		if s.Addr("bench") != "" {
			return s, nil
		}
	case <-time.After(startTimeout):
	case <-ctx.Done():
	}
	return nil, errors.Join(fmt.Errorf("start %s: not ready, or no address of a server named bench; its log:\n%s", s.name, s.log()), s.Stop())
}

// readLog follows the server's stderr to its end, so that the server never blocks on it. ready closes when the server
// is, or has ended without.
func (s *Server) readLog(stderr io.Reader, ready chan<- struct{}) {
	told := sync.OnceFunc(func() { close(ready) })
	defer told()
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		s.note(lines.Text())
		if s.tell != nil {
			s.tell(lines.Text())
		}
		var l logLine
		if json.Unmarshal(lines.Bytes(), &l) != nil {
			continue
		}
		switch l.Msg {
		case "listening":
			s.mu.Lock()
			s.addrs[l.Server] = l.Address
			s.mu.Unlock()
		case "ready":
			told()
		}
	}
}

func (s *Server) note(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tail = append(s.tail, line)
	s.tail = s.tail[max(0, len(s.tail)-keptLog):]
}

func (s *Server) log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.tail, "\n")
}

// Addr is where the server listens under a name: "bench" for clients, "management" if it has that; else "".
func (s *Server) Addr(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addrs[name]
}

// PID is the server's process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Stop ends the server and waits for it. A server that was told to end and ends is no error, whatever its status.
func (s *Server) Stop() error {
	s.cancel()
	s.reader.Wait() // before Wait, which closes the pipe
	err := s.cmd.Wait()
	var status *exec.ExitError
	if err == nil || errors.As(err, &status) || errors.Is(err, context.Canceled) {
		return nil
	}
	return fmt.Errorf("stop %s: %w", s.name, err)
}
