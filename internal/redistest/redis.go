// Package redistest starts real Redis servers for tests.
package redistest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/enginetest"
)

// Redis is a redis-server process of a test: with a directory of its own, and everything synced to disk before it is
// confirmed. All methods are for the goroutine of the test.
type Redis struct {
	*enginetest.Process
	t testing.TB
}

// Start starts a server, which ends with the test; args are added to its configuration, as on its command line. A machine
// without redis-server skips the test.
func Start(t testing.TB, args ...string) *Redis {
	t.Helper()
	dir := t.TempDir()
	return &Redis{t: t, Process: enginetest.Start(t, enginetest.Options{
		Program: "redis-server", Dir: dir, Serves: answers,
		Args: func(port string) []string {
			return append([]string{
				"--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "yes", "--appendfsync", "always",
				"--daemonize", "no",
			}, args...)
		},
	})}
}

// Sentinel is a redis-sentinel process of a test.
type Sentinel = Redis

// Master is what sentinels of tests call the server they watch.
const Master = "weir"

// StartSentinel starts a sentinel that watches a master, with as many others that a failover takes a quorum of two.
func StartSentinel(t testing.TB, master *Redis) *Sentinel {
	t.Helper()
	dir := t.TempDir()
	host, port, err := net.SplitHostPort(master.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return &Sentinel{t: t, Process: enginetest.Start(t, enginetest.Options{
		Program: "redis-server", Dir: dir, Serves: answers,
		Args: func(own string) []string {
			file := filepath.Join(dir, "sentinel.conf")
			text := fmt.Sprintf("port %s\nbind 127.0.0.1\ndir %s\nsentinel monitor %[3]s %[4]s %[5]s 2\nsentinel down-after-milliseconds %[3]s 3000\n"+
				"sentinel failover-timeout %[3]s 5000\n", own, dir, Master, host, port)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			return []string{file, "--sentinel"}
		},
	})}
}

// answers reports whether a server serves commands.
func answers(addr string) bool {
	answer, err := command(addr, "PING")
	return err == nil && strings.HasPrefix(answer, "+PONG")
}

// Do sends a command without spaces in its words, and returns the beginning of the answer.
func (s *Redis) Do(line string) string {
	s.t.Helper()
	answer, err := command(s.Addr(), line)
	if err != nil || strings.HasPrefix(answer, "-") {
		s.t.Fatalf("%s: %q, %v", line, answer, err)
	}
	return answer
}

// Try is Do for a server that may not be there; then it returns "".
func (s *Redis) Try(line string) string {
	answer, err := command(s.Addr(), line)
	if err != nil {
		return ""
	}
	return answer
}

func command(addr, line string) (string, error) {
	var d net.Dialer
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
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
