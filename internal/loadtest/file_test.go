package loadtest_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/loadtest"
)

func scenarioFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "load.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestScenarioFileHasTheNamesOfTheFlags(t *testing.T) {
	steps, err := loadtest.ReadFile(scenarioFile(t, `
defaults:
  url: http://127.0.0.1:3000
  namespace: /feed
  clients: 2000
  window: 8          # of the scenarios that have one
  auth: {token: x}
  header: ["X-A: 1", "X-B: 2"]
steps:
  - scenario: connect
    rate: 500
  - {scenario: fanout, title: mine, clients: 10, duration: 20s, size: 4KiB, no-subscribe: true}
  - {scenario: slow, slow: 10%, read: 2KB/s, rate: 50}
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(steps) != 3 {
		t.Fatalf("%d steps, want 3", len(steps))
	}
	c, f, s := steps[0], steps[1], steps[2]
	if c.Scenario != loadtest.Connect || c.Arrival != 500 || c.Clients != 2000 || c.Target.Namespace != "/feed" {
		t.Errorf("connect: %+v", c)
	}
	if string(c.Target.Auth) != `{"token":"x"}` || c.Target.Header["X-A"] != "1" || c.Target.Header["X-B"] != "2" {
		t.Errorf("access: %s %v", c.Target.Auth, c.Target.Header)
	}
	if f.Title != "mine" || f.Clients != 10 || f.Feed.Window != 8 || f.Phases.Duration != 20*time.Second || f.Feed.Size != 4096 || !f.Feed.NoSubscribe {
		t.Errorf("fanout: %+v", f)
	}
	if s.Slow.Read != 2000 || s.Slow.Share.Of(s.Clients) != 200 || s.Feed.Rate != 50 {
		t.Errorf("slow: %+v", s)
	}
}

func TestScenarioFileReportsEveryProblemWithItsPlace(t *testing.T) {
	path := scenarioFile(t, `defaults:
  url: http://127.0.0.1:3000
  colour: red
steps:
  - {scenario: fanout, clients: none, durration: 10s}
  - {scenario: dance}
  - {scenario: fanout, rate: 5, window: 5}
  - connect
  - {scenario: leak}
else: 1
`)
	_, err := loadtest.ReadFile(path, nil)
	var all *loadtest.FileError
	if !errors.As(err, &all) {
		t.Fatalf("%v, want a FileError", err)
	}
	want := []string{
		`:10:1: unknown key "else"`,
		`:3:3: defaults: unknown key "colour"`,
		`:5:33: clients "none": want a whole number`,
		`:5:39: unknown key "durration" of fanout: it has `,
		`:6:16: scenario "dance": want one of connect`,
		`:7:41: window: --rate is an open loop`,
		`:8:5: want a mapping`,
		`:9:5: pid: a leak is seen in the server`,
	}
	if len(all.Lines) != len(want) {
		t.Errorf("%d problems, want %d:\n%v", len(all.Lines), len(want), err)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), path+w) {
			t.Errorf("no problem %q in\n%v", w, err)
		}
	}
}

func TestWhatIsNoScenarioFileIsSaid(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "want one document",
		"steps: []":                  "at least one",
		"- a":                        "want a mapping",
		"steps: {a: 1}":              "want a list",
		"steps: [{scenario: fanout,": ":1:",
		"a: 1\na: 2\nsteps: []":      "already defined",
		"x: y\n---\nsteps: []":       "want one document",
		"steps:\n  - scenario: *x\n": `scenario`,
		"defaults: 1\nsteps: [{scenario: connect, url: 'http://127.0.0.1:1'}]": "defaults: want a mapping",
	} {
		_, err := loadtest.ReadFile(scenarioFile(t, text), nil)
		var all *loadtest.FileError
		if !errors.As(err, &all) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want something with %q", text, err, want)
		}
	}
}

// TestTheExampleOfTheGuideIsAScenarioFile keeps docs/guide/measuring.md true.
func TestTheExampleOfTheGuideIsAScenarioFile(t *testing.T) {
	guide, err := os.ReadFile("../../docs/guide/measuring.md")
	if err != nil {
		t.Fatal(err)
	}
	example := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(guide)
	if example == nil {
		t.Fatal("the guide has no example in YAML")
	}
	steps, err := loadtest.ReadFile(scenarioFile(t, string(example[1])), nil)
	if err != nil || len(steps) < 2 {
		t.Errorf("%d steps, %v", len(steps), err)
	}
}

func FuzzReadFile(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		if steps, err := loadtest.ReadFile(scenarioFile(t, text), nil); err == nil && len(steps) == 0 {
			t.Error("a file without steps is taken")
		}
	})
}
