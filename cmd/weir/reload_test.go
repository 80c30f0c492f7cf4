package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// reloadConfig has one management key and a schema that publications have to pass.
const reloadConfig = `weir: 1
management: {port: 0, keys: [{name: app, key: key-1, allow: [publish, admin, read]}]}
servers:
  feed: {host: 127.0.0.1, port: 0, namespaces: [{path: /feed, topics: [prices], schemas: {prices: {file: prices.json, publishApi: true}}}]}
`

// A configuration in files as Kubernetes mounts them is put in force when the links are swapped, by POST /api/reload and by SIGHUP
// too: all that can be, or nothing; and what was set by a flag stays.
func TestServeReloads(t *testing.T) {
	dir := t.TempDir()
	n := 0
	mount := func(config, schema string) {
		t.Helper()
		n++
		version := "..v" + string(rune('0'+n))
		write := func(name, text string) {
			if err := os.WriteFile(filepath.Join(dir, version, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		write("weir.yaml", config)
		write("prices.json", schema)
		if err := os.Symlink(version, filepath.Join(dir, "..new")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..new"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	mount(reloadConfig, `{"type": "string"}`)
	for _, name := range []string{"weir.yaml", "prices.json"} {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	p := startProcess(t, exec.Command("weir", "serve", "--config", filepath.Join(dir, "weir.yaml"), "--set", "log.level=info"))
	var at struct{ Address string }
	if err := json.Unmarshal([]byte(p.until(`"server":"management"`)), &at); err != nil {
		t.Fatal(err)
	}
	p.until(`"msg":"ready"`)
	post := func(key, path, body string) (int, string) {
		t.Helper()
		r, err := http.NewRequest(http.MethodPost, "http://"+at.Address+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-API-Key", key)
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = a.Body.Close() }()
		b, err := io.ReadAll(a.Body)
		if err != nil {
			t.Fatal(err)
		}
		return a.StatusCode, string(b)
	}
	const text, number = `{"namespace":"/feed","topic":"prices","payload":"1"}`, `{"namespace":"/feed","topic":"prices","payload":1}`
	if status, body := post("key-1", "/api/publish", number); status != 400 || !strings.Contains(body, "schema_violation") {
		t.Errorf("%d %s", status, body)
	}
	// The system tells that the links were swapped: a key, a schema, and what needs a restart. The log's level is a flag's.
	mount(strings.NewReplacer("key-1", "key-2", "weir: 1", "weir: 1\nlog: {level: error}\nshards: 3").Replace(reloadConfig), `{"type": "number"}`)
	line := p.until("configuration read again")
	if !strings.Contains(line, `"changed":["management.keys[0].key","servers.feed.namespaces[0].schemas.prices.file"],"needsRestart":["shards"]`) {
		t.Error(line)
	}
	if status, _ := post("key-1", "/api/publish", number); status != 401 {
		t.Errorf("the old key: %d", status)
	}
	if status, body := post("key-2", "/api/publish", number); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	if status, _ := post("key-2", "/api/publish", text); status != 400 {
		t.Errorf("the old schema is in force: %d", status)
	}
	// A bad file, of which only a part is bad, changes nothing.
	mount(strings.Replace(reloadConfig, "key-1", "key-3", 1), `{"type": 7}`)
	p.until("the configuration is not usable")
	if status, body := post("key-2", "/api/reload", ""); status != 400 || !strings.Contains(body, "nothing was changed") || !strings.Contains(body, "prices.json:1:10") {
		t.Errorf("%d %s", status, body)
	}
	// And a good one again, whoever sees it first.
	mount(strings.Replace(reloadConfig, "key-1", "key-2", 1), `true`)
	p.signal(syscall.SIGHUP)
	p.until("configuration read again")
	status, body := post("key-2", "/api/reload", "")
	var out struct{ Changed, NeedsRestart []string }
	if err := json.Unmarshal([]byte(body), &out); err != nil || status != 200 || len(out.NeedsRestart) > 0 || slices.Contains(out.Changed, "shards") {
		t.Errorf("%d %s", status, body)
	}
	for _, payload := range []string{text, number} {
		if status, body := post("key-2", "/api/publish", payload); status != 200 {
			t.Errorf("%d %s", status, body)
		}
	}
	p.signal(syscall.SIGTERM)
	if code := p.exitCode(); code != exitGood {
		t.Errorf("exit code %d", code)
	}
}
