//go:build unix

package main

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// process is a weir of its own; TestMain has put it on the PATH.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	log *bufio.Scanner
}

func serveAsProcess(t *testing.T) *process {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weir.yaml")
	if err := os.WriteFile(path, []byte(tailConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	return startProcess(t, exec.Command("weir", "serve", "--config", path, "--set", "management.port=0"))
}

func startProcess(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended already, unless the test failed
	return &process{t: t, cmd: cmd, log: bufio.NewScanner(stderr)}
}

// until reads the log up to a line that holds text, and returns that line.
func (p *process) until(text string) string {
	p.t.Helper()
	for p.log.Scan() {
		if strings.Contains(p.log.Text(), text) {
			return p.log.Text()
		}
	}
	p.t.Fatalf("the log ended without %s", text)
	return ""
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// exitCode reads the rest of the log and waits.
func (p *process) exitCode() int {
	p.t.Helper()
	for p.log.Scan() {
		p.t.Log(p.log.Text())
	}
	_ = p.cmd.Wait() // the exit code is what is asked for
	return p.cmd.ProcessState.ExitCode()
}

func TestServeDrainsOnSIGTERMAndEndsWithZero(t *testing.T) {
	p := serveAsProcess(t)
	p.until(`"msg":"ready"`)
	p.signal(syscall.SIGTERM)
	p.until(`"signal":"SIGTERM"`)
	if line := p.until(`"msg":"stopped"`); !strings.Contains(line, `"clients":0,"sent_away":0,"cut":0,"seconds":`) {
		t.Error(line)
	}
	if code := p.exitCode(); code != exitGood {
		t.Errorf("exit code %d, want %d", code, exitGood)
	}
}

func TestServeEndsAtOnceOnTheSecondSignal(t *testing.T) {
	p := serveAsProcess(t)
	_, address, _ := strings.Cut(p.until(`"server":"feed"`), `"address":"`)
	p.until(`"msg":"ready"`)
	// A client that never polls cannot be told to leave: the drain waits for it.
	a, err := http.Get("http://" + strings.TrimSuffix(address, `"}`) + "/socket.io/?EIO=4&transport=polling")
	if err != nil {
		t.Fatal(err)
	}
	_ = a.Body.Close()
	p.signal(syscall.SIGTERM)
	p.until(`"msg":"leaving; a second signal`)
	p.signal(syscall.SIGINT)
	p.until(`"msg":"leaving at once","signal":"SIGINT"`)
	if code := p.exitCode(); code != exitFailed {
		t.Errorf("exit code %d, want %d", code, exitFailed)
	}
}

// SIGHUP is what operators send for a reload. It ends nothing, puts in force what it can, says what needs a restart, and changes
// nothing where the file cannot be used.
func TestServeGoesOnAtSIGHUP(t *testing.T) {
	p := serveAsProcess(t)
	p.until(`"msg":"ready"`)
	p.signal(syscall.SIGHUP)
	if line := p.until("SIGHUP"); !strings.Contains(line, `"changed":[]`) {
		t.Error(line)
	}
	file := p.cmd.Args[3]
	if err := os.WriteFile(file, []byte(strings.Replace(tailConfig, "weir: 1", "weir: 1\ndrain: {clientsPerSecond: 5}", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGHUP)
	if line := p.until("SIGHUP"); !strings.Contains(line, `"changed":[],"needsRestart":["drain.clientsPerSecond"]`) {
		t.Error(line)
	}
	if err := os.WriteFile(file, []byte("weir: 1\nnonsense: 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGHUP)
	if line := p.until("nonsense"); !strings.Contains(line, "not usable") || !strings.Contains(line, `"level":"ERROR"`) {
		t.Error(line)
	}
	p.signal(syscall.SIGTERM)
	if code := p.exitCode(); code != exitGood {
		t.Errorf("exit code %d, want %d", code, exitGood)
	}
}

// serveWithFew starts a process that may have 256 descriptors, and returns its ports by name when it is ready.
func serveWithFew(t *testing.T, settings string) (p *process, addresses map[string]string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weir.yaml")
	probes := fmt.Sprintf("weir: 1\nmanagement: {probes: {host: 127.0.0.1, port: %d}}", aFreePort(t))
	text := strings.Replace(tailConfig, "weir: 1", probes, 1)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p = startProcess(t, exec.Command("sh", "-c", "ulimit -n 256 && exec weir serve --config "+path+" --set management.port=0 "+settings))
	addresses = map[string]string{}
	few := ""
	for line := ""; !strings.Contains(line, `"msg":"ready"`); {
		line = p.until("msg")
		if strings.Contains(line, "allows few connections") {
			few = line
		}
		if _, rest, ok := strings.Cut(line, `"address":"`); ok {
			for _, name := range []string{"feed", "management", "probes"} {
				if strings.Contains(line, `"server":"`+name+`"`) {
					addresses[name] = strings.TrimSuffix(rest, `"}`)
				}
			}
		}
	}
	if few == "" {
		few = p.until("allows few connections")
	}
	if !strings.Contains(few, `"descriptors":256`) {
		t.Error(few)
	}
	return p, addresses
}

func wantHealthy(t *testing.T, addresses map[string]string) {
	t.Helper()
	for _, name := range []string{"management", "probes"} {
		answer, err := http.Get("http://" + addresses[name] + "/healthz")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", name, answer.Status)
		}
	}
}

// A liveness probe must not kill a server that is merely full: its own descriptors are reserved.
func TestServeAnswersProbesWithoutDescriptorsForClients(t *testing.T) {
	p, addresses := serveWithFew(t, "")
	refused := 0
	for range 300 {
		conn, err := net.Dial("tcp", addresses["feed"])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_, _ = io.WriteString(conn, "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode == http.StatusServiceUnavailable {
			refused++
		}
	}
	if refused < 100 || refused > 200 {
		t.Errorf("%d of 300 clients were refused", refused)
	}
	wantHealthy(t, addresses)
	p.until("no room")
}

// Connections that never finish their request are no sessions, and take descriptors all the same.
func TestServeAnswersProbesWhileSilentConnectionsHoldEveryDescriptor(t *testing.T) {
	for _, driver := range []string{"auto", "goroutine"} {
		t.Run(driver, func(t *testing.T) {
			p, addresses := serveWithFew(t, "--set servers.feed.limits.headerTimeoutMs=3600000 --set servers.feed.driver="+driver)
			for range 300 {
				conn, err := net.Dial("tcp", addresses["feed"])
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = conn.Close() })
				_, _ = io.WriteString(conn, "GET ") // it may be closed already
			}
			p.until("no room")
			wantHealthy(t, addresses)
		})
	}
}

// Whoever reads the log may go away: a collector that restarts, `weir serve 2>&1 | head`. The server goes on.
func TestServeGoesOnWhenNobodyReadsItsLogAnyMore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weir.yaml")
	if err := os.WriteFile(path, []byte(tailConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("weir", "serve", "--config", path, "--set", "management.port=0")
	cmd.Stderr = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended already, unless the test failed
	_ = w.Close()
	p := &process{t: t, cmd: cmd, log: bufio.NewScanner(r)}
	_, management, _ := strings.Cut(p.until(`"server":"management"`), `"address":"`)
	p.until(`"msg":"ready"`)
	_ = r.Close()
	p.signal(syscall.SIGHUP) // it logs
	res, err := http.Get("http://" + strings.TrimSuffix(management, `"}`) + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	p.signal(syscall.SIGTERM) // it logs
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// A SIGHUP that reads a file which does not answer, and more of them behind it, take nothing from a SIGTERM.
func TestSignalToLeaveIsHeardBehindHangups(t *testing.T) {
	reading, block := make(chan struct{}), make(chan struct{})
	defer close(block)
	ctx, stop := untilSignal(t.Context(), slog.New(slog.DiscardHandler), func() {}, func() {
		select {
		case reading <- struct{}{}:
		case <-block:
		}
		<-block
	})
	defer stop()
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	send := func(s os.Signal) {
		t.Helper()
		if err := self.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	send(syscall.SIGHUP)
	<-reading
	for range 10 {
		send(syscall.SIGHUP)
	}
	send(syscall.SIGTERM)
	<-ctx.Done()
}

// A flag has no line: the log names the flag, not line 0 of it.
func TestMistakeOfAFlagIsLoggedWithoutALine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weir.yaml")
	if err := os.WriteFile(path, []byte(tailConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, exec.Command("weir", "serve", "--config", path, "--set", "management.prot=1"))
	if line := p.until("not usable"); !strings.Contains(line, `"file":"flag","path":"management.prot"`) {
		t.Error(line)
	}
	if code := p.exitCode(); code != exitUsage {
		t.Errorf("exit code %d, want %d", code, exitUsage)
	}
}

// "ready" is said once the journal is open: a server whose journal another one has never says it.
func TestServeIsReadyWithItsJournal(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "weir.yaml")
	text := "weir: 1\njournal: {path: " + filepath.Join(dir, "journal") + "}\nservers: {feed: {host: 127.0.0.1, port: 0, namespaces: [{path: /feed, topics: [{name: orders, overflowAction: SPILL_TO_DISK}]}]}}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	begin := func() *process {
		return startProcess(t, exec.Command("weir", "serve", "--config", path, "--set", "management.port=0"))
	}
	first := begin()
	first.until(`"msg":"ready"`)
	second := begin()
	for second.log.Scan() {
		if strings.Contains(second.log.Text(), `"msg":"ready"`) {
			t.Error("ready without its journal")
		}
		if line := second.log.Text(); strings.Contains(line, `"msg":"failed"`) && !strings.Contains(line, filepath.Join(dir, "journal")+" (journal.path)") {
			t.Error(line)
		}
	}
	if code := second.exitCode(); code != exitFailed {
		t.Errorf("exit code %d, want %d", code, exitFailed)
	}
	first.signal(syscall.SIGTERM)
	if code := first.exitCode(); code != exitGood {
		t.Errorf("exit code %d, want %d", code, exitGood)
	}
}

// However weir dev is told to end, its temporary directory goes with it.
func TestDevLeavesNothingBehind(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("no journal, no directory")
	}
	for name, signals := range map[string][]os.Signal{
		"two signals": {syscall.SIGTERM, syscall.SIGTERM}, "interrupted twice": {os.Interrupt, os.Interrupt}, "its terminal is closed": {syscall.SIGHUP},
	} {
		t.Run(name, func(t *testing.T) {
			tmp := t.TempDir()
			cmd := exec.Command("weir", "dev", "--port", "0", "--management-port", "0", "--log-level", "info")
			cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
			p := startProcess(t, cmd)
			p.until("what spills waits in a temporary directory")
			p.until("sharing the machine")
			for _, s := range signals {
				_ = cmd.Process.Signal(s) // the process may have ended
			}
			p.exitCode()
			if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
				t.Errorf("%v are left, %v", left, err)
			}
		})
	}
}
