package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamweir/weir/internal/attach"
	"github.com/streamweir/weir/internal/config"
)

const reloadable = `weir: 1
log: {level: info}
management: {keys: [{name: app, key: k-1, allow: [read]}]}
access: {staticTokens: {alice: t-1}}
hooks: {connect: "https://app.example/", secrets: [c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0]}
servers:
  feed:
    auth: TOKEN
    namespaces:
      - {path: /feed, topics: [prices], schemas: {order: order.json}}
`

// byPath are the values in force by path.
func byPath(r *config.Running) map[string]any {
	m := map[string]any{}
	for _, s := range r.Effective() {
		m[s.Path] = s.Value
	}
	return m
}

// Of each change the plan says whether it is put in force; what is not stays what is in force.
func TestPlanOfAReload(t *testing.T) {
	dir := t.TempDir()
	load := func(text string, replace ...string) *config.Config {
		t.Helper()
		file := filepath.Join(dir, "weir.yaml")
		if err := os.WriteFile(file, []byte(strings.NewReplacer(replace...).Replace(text)), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(file, config.LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	schema := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "order.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	schema(`true`)
	was := load(reloadable).Running()
	for name, c := range map[string]struct {
		replace       []string
		live, restart []string
		parts         attach.Parts
	}{
		"nothing":         {},
		"the log's level": {[]string{"level: info", "level: debug"}, []string{"log.level"}, nil, attach.Parts{}},
		"a secret":        {[]string{"k-1", "k-2"}, []string{"management.keys[0].key"}, nil, attach.Parts{Keys: true}},
		"the last key":    {[]string{"{keys: [{name: app, key: k-1, allow: [read]}]}", "{pprof: true}"}, nil, []string{"management.keys", "management.keys[0].allow", "management.keys[0].key", "management.keys[0].name", "management.pprof"}, attach.Parts{}},
		"a token":         {[]string{"alice: t-1", "alice: t-1, bob: t-2"}, []string{"access.staticTokens.bob.rooms", "access.staticTokens.bob.token"}, nil, attach.Parts{Access: true}},
		"a hook's secret": {[]string{"secrets: [c2VjcmV0", "secrets: [U2VjcmV0"}, []string{"hooks.secrets"}, nil, attach.Parts{Hooks: true}},
		"a hook's limit":  {[]string{"hooks: {", "hooks: {maxCalls: 7, "}, nil, []string{"hooks.maxCalls"}, attach.Parts{}},
		"no hook":         {[]string{"hooks: {", "# "}, nil, []string{"hooks.connect", "hooks.secrets"}, attach.Parts{}},
		"a policy":        {[]string{"path: /feed,", "path: /feed, maxQueuedMessagesPerClient: 7,"}, nil, []string{"servers.feed.namespaces[0].maxInFlight", "servers.feed.namespaces[0].maxQueuedMessagesPerClient"}, attach.Parts{}},
		"both":            {[]string{"level: info", "level: warn", "weir: 1", "weir: 1\nshards: 2"}, []string{"log.level"}, []string{"shards"}, attach.Parts{}},
	} {
		p := was.Plan(load(reloadable, c.replace...))
		if !slices.Equal(p.Live, c.live) && len(p.Live)+len(c.live) > 0 || !slices.Equal(p.Restart, c.restart) && len(p.Restart)+len(c.restart) > 0 {
			t.Errorf("%s: live %q, restart %q", name, p.Live, p.Restart)
		}
		if p.Parts != c.parts {
			t.Errorf("%s: %+v", name, p.Parts)
		}
		again := p.Next.Plan(load(reloadable, c.replace...))
		if len(again.Live) > 0 || !slices.Equal(again.Restart, p.Restart) {
			t.Errorf("%s, once more: live %q, restart %q", name, again.Live, again.Restart)
		}
		if len(c.live) == 0 {
			if diff := cmp.Diff(byPath(was), byPath(p.Next)); diff != "" {
				t.Errorf("%s: other values are in force (-was +is):\n%s", name, diff)
			}
		}
	}
	// Where a hook alone decides, what is revoked changes at once, and no tokens come.
	const alone = "access: {revoked: {principals: [mallory]}}"
	hooked := load(reloadable, "access: {staticTokens: {alice: t-1}}", alone).Running()
	p := hooked.Plan(load(reloadable, "access: {staticTokens: {alice: t-1}}", "access: {revoked: {principals: [mallory, eve]}}"))
	if len(p.Live) == 0 || len(p.Restart) > 0 || p.Parts != (attach.Parts{Access: true}) {
		t.Errorf("one more revoked: live %q, restart %q, %+v", p.Live, p.Restart, p.Parts)
	}
	p = hooked.Plan(load(reloadable, "access: {staticTokens: {alice: t-1}}", "access: {staticTokens: {alice: t-1}, revoked: {principals: [mallory]}}"))
	if len(p.Live) > 0 || len(p.Restart) == 0 || p.Parts != (attach.Parts{}) {
		t.Errorf("tokens where there were none: live %q, restart %q, %+v", p.Live, p.Restart, p.Parts)
	}
	// What a schema says is a part of the configuration; where namespaces come and go, it stays.
	schema(`false`)
	if p := was.Plan(load(reloadable)); !slices.Equal(p.Live, []string{"servers.feed.namespaces[0].schemas.order.file"}) || !p.Parts.Schemas {
		t.Errorf("a schema: %+v", p)
	}
	p = was.Plan(load(reloadable, "- {path: /feed,", "- {path: /new}\n      - {path: /feed,"))
	if len(p.Live) > 0 || p.Parts.Schemas || !slices.Contains(p.Restart, "servers.feed.namespaces[0].path") {
		t.Errorf("another namespace: live %q", p.Live)
	}
	if files := load(reloadable).Files(); len(files) != 2 || filepath.Base(files[1]) != "order.json" {
		t.Errorf("%q", files)
	}
}

// The page lists every key, with what a reload does to it.
func TestDocumentSaysOfEveryKeyWhatAReloadDoes(t *testing.T) {
	page, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## What a reload changes\n")
	listed := map[string]bool{}
	for line := range strings.Lines(section) {
		if c := strings.Split(line, "|"); len(c) == 4 && strings.Contains(c[1], "`") {
			listed[strings.Trim(c[1], " `")] = strings.TrimSpace(c[2]) == "live"
		}
	}
	if diff := cmp.Diff(config.LiveForTest(), listed); diff != "" {
		t.Errorf("docs/configuration.md (-keys +page):\n%s", diff)
	}
}
