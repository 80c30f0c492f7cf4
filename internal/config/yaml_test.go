package config_test

import (
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/config"
)

func TestMergedKeysYieldToOwnOnes(t *testing.T) {
	c := parse(t, `weir: 1
servers:
  a: &a {port: 3001, limits: {roomsPerSocket: 7}, namespaces: [{path: /a}]}
  b: &b {port: 3002, credentials: true, namespaces: [{path: /b}]}
  c:
    <<: [*b, *a]
    port: 3003
    namespaces:
      - path: |-
          /c
`, config.LoadOptions{})
	got := c.Options.Servers[2]
	if got.Addr != "0.0.0.0:3003" || !got.Credentials || got.Limits.RoomsPerSocket != 7 || got.Namespaces[0].Path != "/c" {
		t.Errorf("merged to %+v", got)
	}
}

func TestUnusedFormsOfYAMLAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"weir: 1\n<<: 5\n":             "<< wants a mapping",
		"weir: 1\na: *b\n":             "no anchor of this name before it",
		"weir: !!str 1\n":              "tags (!…) are not used in this file: remove it",
		"? {a: b}\n: c\n":              "not YAML: found an invalid key for this map",
		"weir: 1\n--- \nweir: 2\n":     "a second document: want one per file",
		"weir: @x\n":                   "not YAML: '@' is a reserved character",
		"%YAML 1.2\n---\n":             "the file is empty: want at least servers; `weir config init` prints a starter",
		"weir: 1\nservers: {a: {}, a:": "not YAML: ",
	} {
		if got := firstProblem("weir.yaml", text); !strings.HasPrefix(got, want) {
			t.Errorf("%q:\ngot  %s\nwant %s", text, got, want)
		}
	}
}

func TestNothingBelowAKeyIsAsGoodAsNoKey(t *testing.T) {
	parse(t, "weir: 1\nlog:\nhooks: ~\nmanagement: {keys: }\naccess: {staticTokens: }\nservers: {a: {tls: , origins: , limits: null, namespaces: [{path: /, topics: }]}}", config.LoadOptions{})
}
