package config_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamweir/weir/internal/config"
)

var update = flag.Bool("update", false, "write the golden files")

// environ is what the files under testdata refer to.
var environ = []string{"API_KEY=hidden-api-key", "TOKEN=hidden-token", "OPS_KEY=hidden-ops-key", "FEED_PORT=3456", "LEVEL=hidden-level"}

// load reads a file as on a machine that cannot change the priority of threads, so that the golden files are the same
// everywhere.
func load(path string) (*config.Config, error) {
	o := config.LoadOptions{Environ: environ}
	if !strings.HasPrefix(filepath.Base(path), "everything") {
		o.Overrides = map[string]string{"workers.nice": "0"}
	}
	return config.Load(path, o)
}

func files(t *testing.T, folder string) []string {
	t.Helper()
	var found []string
	for _, pattern := range []string{"*.yaml", "*.yml", "*.json"} {
		list, err := filepath.Glob(filepath.Join("testdata", folder, pattern))
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, list...)
	}
	if len(found) == 0 {
		t.Fatalf("no files in testdata/%s", folder)
	}
	return found
}

func compareGolden(t *testing.T, path, got string) {
	t.Helper()
	path += ".golden"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (run with -update to accept; -want +got):\n%s", path, diff)
	}
}

func problems(t *testing.T, err error) *config.Problems {
	t.Helper()
	var p *config.Problems
	if !errors.As(err, &p) {
		t.Fatalf("got %v, want *config.Problems", err)
	}
	return p
}

func TestInvalidFilesNameEveryProblemWithItsPlace(t *testing.T) {
	for _, path := range files(t, "invalid") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			_, err := load(path)
			detail := problems(t, err).Detail()
			compareGolden(t, path, filepath.ToSlash(detail))
			for _, secret := range []string{"hunter2", "hunter", "1234567", "token-from-a-file", "hidden-"} {
				if strings.Contains(detail, secret) {
					t.Errorf("the problems give %q away", secret)
				}
			}
		})
	}
}

func TestTenMistakesAreTenProblems(t *testing.T) {
	_, err := load("testdata/invalid/ten.yaml")
	list := problems(t, err).List
	want := []struct {
		line, column int
		path         string
	}{
		{2, 1, "memori"},
		{5, 18, "memory.highWatermark"},
		{8, 11, "servers.feed.port"},
		{9, 16, "servers.feed.transport"},
		{10, 30, "servers.feed.socketio.pingInterval"},
		{10, 50, "servers.feed.socketio.allowUpgrades"},
		{13, 25, "servers.feed.namespaces[0].overflowAction"},
		{14, 37, "servers.feed.namespaces[0].maxQueuedMessagesPerClient"},
		{16, 13, "servers.feed.namespaces[0].topics[0]"},
		{17, 73, "servers.feed.namespaces[0].topics[1].overflowAction"},
	}
	if len(list) != len(want) {
		t.Fatalf("got %d problems, want %d:\n%v", len(list), len(want), err)
	}
	for i, w := range want {
		if p := list[i]; p.Line != w.line || p.Column != w.column || p.Path != w.path {
			t.Errorf("problem %d is at %d:%d %s, want %d:%d %s", i, p.Line, p.Column, p.Path, w.line, w.column, w.path)
		}
	}
}

func TestValidFilesShowEveryValueWithItsOrigin(t *testing.T) {
	for _, path := range files(t, "valid") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			c, err := load(path)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			for _, w := range c.Warnings {
				out.WriteString("# warning: " + w.String() + "\n")
			}
			if err := c.WriteYAML(&out, config.WithOrigins); err != nil {
				t.Fatal(err)
			}
			compareGolden(t, path, filepath.ToSlash(out.String()))
			for _, secret := range []string{"hidden-", "plain-", "token-from-a-file"} {
				if strings.Contains(out.String(), secret) {
					t.Errorf("the effective configuration gives %q away", secret)
				}
			}
		})
	}
}
