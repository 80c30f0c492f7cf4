//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const benchConfig = `
weir: 1
management: {host: 127.0.0.1, port: 0}
servers: {feed: {host: 127.0.0.1, port: 0, namespaces: [{path: /feed, clientPublish: allow, topics: [tick]}]}}
`

// TestInterruptEndsABenchWithTheResultSoFar sends the signal as a terminal does, to the agents too.
func TestInterruptEndsABenchWithTheResultSoFar(t *testing.T) {
	for _, c := range []struct {
		agents string
		signal os.Signal
	}{{"0", os.Interrupt}, {"2", os.Interrupt}, {"2", syscall.SIGTERM}} {
		agents := c.agents
		address, metrics := serveToBench(t)
		bench := exec.Command("weir", "bench", "fanout", "http://"+address, "--namespace", "/feed", "--clients", "10",
			"--rate", "200", "--warmup", "0", "--duration", "1h", "--agents", agents, "--json", "run.json")
		bench.Dir = t.TempDir()
		var out, errs bytes.Buffer
		bench.Stdout, bench.Stderr = &out, &errs
		if err := bench.Start(); err != nil {
			t.Fatal(err)
		}
		awaitPublished(t, metrics)
		for _, pid := range append(children(t, bench.Process.Pid), bench.Process) {
			if err := pid.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
		}
		if err := bench.Wait(); err != nil {
			t.Errorf("with %s agents: %v\n%s", agents, err, errs.String())
		}
		for _, want := range []string{"INTERRUPTED", "deliveries/s", "no gaps, none out of order, none twice"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("with %s agents: no %q in\n%s", agents, want, out.String())
			}
		}
		if _, err := os.Stat(filepath.Join(bench.Dir, "run.json")); err != nil {
			t.Error(err)
		}
	}
}

// TestAgentsEndWithTheirParent kills the parent, which can tell nobody.
func TestAgentsEndWithTheirParent(t *testing.T) {
	address, metrics := serveToBench(t)
	bench := exec.Command("weir", "bench", "fanout", "http://"+address, "--namespace", "/feed", "--clients", "10",
		"--rate", "200", "--warmup", "0", "--duration", "1h", "--agents", "2")
	read, err := bench.StdoutPipe() // which nobody but the parent holds
	if err != nil {
		t.Fatal(err)
	}
	if err := bench.Start(); err != nil {
		t.Fatal(err)
	}
	awaitPublished(t, metrics)
	agents := children(t, bench.Process.Pid)
	if len(agents) != 2 {
		t.Fatalf("%d agents, want 2", len(agents))
	}
	_ = bench.Process.Kill()
	_, _ = io.Copy(io.Discard, read)
	_ = bench.Wait()
	retry := time.NewTicker(10 * time.Millisecond)
	defer retry.Stop()
	deadline := time.After(patience)
	for openConnections(t, metrics) != "0" {
		select {
		case <-retry.C:
		case <-deadline:
			t.Fatal("the clients of agents without a parent are still there")
		}
	}
}

// serveToBench runs a server for the time of the test and returns where clients and metrics are.
func serveToBench(t *testing.T) (address, metrics string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weir.yaml")
	if err := os.WriteFile(path, []byte(benchConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("weir", "serve", "--config", path)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
	})
	p := &process{t: t, cmd: cmd, log: bufio.NewScanner(stderr)}
	find := regexp.MustCompile(`"address":"([^"]+)"`)
	address = find.FindStringSubmatch(p.until(`"server":"feed"`))[1]
	metrics = "http://" + find.FindStringSubmatch(p.until(`"server":"management"`))[1] + "/metrics"
	return address, metrics
}

// children are the processes that one has started.
func children(t *testing.T, pid int) (list []*os.Process) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // a thread that has ended
		}
		for _, word := range strings.Fields(string(text)) {
			child, err := strconv.Atoi(word)
			if err != nil {
				t.Fatal(err)
			}
			p, err := os.FindProcess(child)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, p)
		}
	}
	return list
}

// awaitPublished waits until the load has begun.
func awaitPublished(t *testing.T, metrics string) {
	t.Helper()
	retry := time.NewTicker(10 * time.Millisecond)
	defer retry.Stop()
	deadline := time.After(patience)
	for !regexp.MustCompile(`(?m)^weir_published_total\{.*\} [1-9]\d\d`).MatchString(get(t, metrics)) {
		select {
		case <-retry.C:
		case <-deadline:
			t.Fatal("nothing is published")
		}
	}
}

func openConnections(t *testing.T, metrics string) string {
	t.Helper()
	found := regexp.MustCompile(`(?m)^weir_connections (\d+)$`).FindStringSubmatch(get(t, metrics))
	if found == nil {
		t.Fatal("no metric weir_connections")
	}
	return found[1]
}

func get(t *testing.T, url string) string {
	t.Helper()
	a, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close() //nolint:errcheck // read only
	text, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
