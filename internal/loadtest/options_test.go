package loadtest_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/loadtest"
)

func TestDefaultsOfEveryScenarioAreValid(t *testing.T) {
	for _, name := range loadtest.Names() {
		o := loadtest.Defaults(name)
		o.Target.URL = "http://127.0.0.1:1"
		if name == loadtest.Leak {
			o.Server.Metrics = "http://127.0.0.1:1/metrics"
		}
		if problems := o.Validate(); len(problems) > 0 {
			t.Errorf("%s: %v", name, problems)
		}
	}
}

func TestEverySettingReadsWhatItWrites(t *testing.T) {
	for _, name := range loadtest.Names() {
		o := loadtest.Defaults(name)
		seen := map[string]bool{}
		for _, s := range o.Settings() {
			if seen[s.Name] {
				t.Errorf("%s has two settings of the name %s", name, s.Name)
			}
			seen[s.Name] = true
			text := s.Value.String()
			if text == "" {
				continue
			}
			if err := s.Value.Set(text); err != nil || s.Value.String() != text {
				t.Errorf("%s: %s is written %q and read as %q (%v)", name, s.Name, text, s.Value, err)
			}
		}
	}
}

func TestValidateReportsEveryProblem(t *testing.T) {
	o := loadtest.Defaults(loadtest.Fanout)
	o.Target = loadtest.Target{URL: "127.0.0.1:3000", Namespace: "feed"}
	o.Feed.Rate, o.Feed.Window, o.Feed.Publish = 10, 10, loadtest.PublishAPI
	o.Agents, o.Server.PID = 2000, 1<<30
	var named []string
	for _, p := range o.Validate() {
		named = append(named, p.Setting)
	}
	slices.Sort(named)
	want := []string{"agents", "namespace", "pid", "publish", "timeout", "url", "window"}
	if !slices.Equal(named, want) {
		t.Errorf("problems with %v, want %v", named, want)
	}
}

func TestTargetsOffThisMachineAreRefused(t *testing.T) {
	for url, admitted := range map[string]bool{
		"http://127.0.0.1:3000": true, "http://127.9.9.9": true, "http://[::1]:3000": true, "http://localhost:3000": true,
		"http://192.0.2.1:3000": false, "http://0.0.0.0:3000": false, "http://[2001:db8::1]:3000": false,
	} {
		err := loadtest.Target{URL: url}.Admit(t.Context())
		if admitted != (err == nil) || (!admitted && !errors.Is(err, loadtest.ErrNotOwned)) {
			t.Errorf("%s: %v, want admitted %v", url, err, admitted)
		}
	}
	if err := (loadtest.Target{URL: "http://192.0.2.1:3000", Owned: true}).Admit(t.Context()); err != nil {
		t.Errorf("an owned target is refused: %v", err)
	}
	err := loadtest.Target{URL: "http://192.0.2.1:3000"}.Admit(t.Context())
	if !strings.Contains(err.Error(), "--i-own-this-target") {
		t.Errorf("%q does not say how to go on", err)
	}
}

func TestRunRefusesTargetsOffThisMachine(t *testing.T) {
	o := loadtest.Defaults(loadtest.Connect)
	o.Target.URL = "http://192.0.2.1:3000"
	if _, err := loadtest.Run(t.Context(), o, nil); !errors.Is(err, loadtest.ErrNotOwned) {
		t.Errorf("%v, want ErrNotOwned", err)
	}
}
