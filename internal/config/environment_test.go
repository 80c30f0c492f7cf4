package config_test

import (
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/config"
)

const portFile = "weir: 1\nservers: {feed: {port: 3001, namespaces: [{path: /}]}, fastFeed-2: {port: 3002, namespaces: [{path: /y}]}}\n"

func origin(t *testing.T, c *config.Config, path string) string {
	t.Helper()
	for _, s := range c.Effective() {
		if s.Path == path {
			return s.Origin
		}
	}
	t.Fatalf("%s is not in the effective configuration", path)
	return ""
}

func TestFlagsWinOverEnvironmentOverFile(t *testing.T) {
	env := []string{"WEIR_SERVERS_FEED_PORT=4001", "WEIR_SERVERS_FAST_FEED_2_PORT=4002", "WEIR_MEMORY_BUDGET_BYTES=5"}
	flags := map[string]string{"servers.feed.port": "5001", "log.level": "warn"}
	for _, step := range []struct {
		o                config.LoadOptions
		addr, origin     string
		second, secondBy string
	}{
		{config.LoadOptions{}, "0.0.0.0:3001", "weir.yaml:2", "0.0.0.0:3002", "weir.yaml:2"},
		{config.LoadOptions{Environ: env}, "0.0.0.0:4001", "environment variable WEIR_SERVERS_FEED_PORT", "0.0.0.0:4002", "environment variable WEIR_SERVERS_FAST_FEED_2_PORT"},
		{config.LoadOptions{Environ: env, Overrides: flags}, "0.0.0.0:5001", "flag", "0.0.0.0:4002", "environment variable WEIR_SERVERS_FAST_FEED_2_PORT"},
	} {
		c := parse(t, portFile, step.o)
		second, first := c.Options.Servers[0], c.Options.Servers[1]
		if first.Addr != step.addr || second.Addr != step.second {
			t.Errorf("addresses %s, %s, want %s, %s", first.Addr, second.Addr, step.addr, step.second)
		}
		if got := origin(t, c, "servers.feed.port"); got != step.origin {
			t.Errorf("origin %q, want %q", got, step.origin)
		}
		if got := origin(t, c, "servers.fastFeed-2.port"); got != step.secondBy {
			t.Errorf("origin %q, want %q", got, step.secondBy)
		}
	}
}

func TestEnvironmentSetsWhatTheFileLeavesOut(t *testing.T) {
	c := parse(t, portFile, config.LoadOptions{Environ: []string{
		"WEIR_SERVERS_FEED_ORIGINS=https://a.example, https://b.example",
		"WEIR_SERVERS_FEED_SOCKETIO_COOKIE=true",
		"WEIR_SERVERS_FAST_FEED_2_SOCKETIO_COOKIE_NAME=sid",
		"WEIR_SERVERS_FEED_SOCKETIO_PING_INTERVAL=100",
		"WEIR_WORKERS_NICE=0",
	}})
	second, first := c.Options.Servers[0], c.Options.Servers[1]
	if len(first.Origins) != 2 || first.Origins[1] != "https://b.example" {
		t.Errorf("origins %q", first.Origins)
	}
	if first.SocketIO.Cookie == nil || first.SocketIO.Cookie.Name != "io" || second.SocketIO.Cookie == nil || second.SocketIO.Cookie.Name != "sid" {
		t.Errorf("cookies %v, %v", first.SocketIO.Cookie, second.SocketIO.Cookie)
	}
	if second.SocketIO.PingInterval != 25e9 || first.SocketIO.PingInterval != 1e8 {
		t.Errorf("ping intervals %v, %v", first.SocketIO.PingInterval, second.SocketIO.PingInterval)
	}
}

func TestEnvironmentOfOneServerLeavesItsAliasAlone(t *testing.T) {
	c := parse(t, "weir: 1\nservers:\n  a: {port: 3001, limits: &l {roomsPerSocket: 7}, namespaces: [{path: /}]}\n  b: {port: 3002, limits: *l, namespaces: [{path: /y}]}",
		config.LoadOptions{Environ: []string{"WEIR_SERVERS_A_LIMITS_ROOMS_PER_SOCKET=9"}})
	if a, b := c.Options.Servers[0].Limits.RoomsPerSocket, c.Options.Servers[1].Limits.RoomsPerSocket; a != 9 || b != 7 {
		t.Errorf("rooms per socket %d and %d, want 9 and 7", a, b)
	}
}

func TestValuesFromOutsideAreTakenLiterally(t *testing.T) {
	c := parse(t, portFile+"access: {staticTokens: {alice: x}}", config.LoadOptions{Environ: []string{"WEIR_ACCESS_STATIC_TOKENS_ALICE=$$${HOME}"}})
	var out strings.Builder
	if err := c.WriteYAML(&out, config.Plain); err != nil || strings.Contains(out.String(), "HOME") {
		t.Errorf("%v; the token is shown:\n%s", err, out.String())
	}
	if _, err := c.Options.Authenticate(t.Context(), request("$$${HOME}")); err != nil {
		t.Errorf("the token is not the variable's value: %v", err)
	}
}

func TestOverridesAreRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		o    config.LoadOptions
		want string
	}{
		{"unknown", config.LoadOptions{Environ: []string{"WEIR_MANAGEMEN_PORT=1"}}, "environment variable WEIR_MANAGEMEN_PORT: overrides no key of this file; did you mean WEIR_MANAGEMENT_PORT?; `weir config env` lists the names"},
		{"another server", config.LoadOptions{Environ: []string{"WEIR_SERVERS_FED_PORT=1"}}, "environment variable WEIR_SERVERS_FED_PORT: overrides no key of this file; did you mean WEIR_SERVERS_FEED_PORT?; `weir config env` lists the names"},
		{"wrong type", config.LoadOptions{Environ: []string{"WEIR_SERVERS_FEED_PORT=many"}}, `environment variable WEIR_SERVERS_FEED_PORT: servers.feed.port: "many" is not a number, want a whole number from 0 to 65535`},
		{"empty", config.LoadOptions{Environ: []string{"WEIR_SERVERS_FEED_PORT="}}, `environment variable WEIR_SERVERS_FEED_PORT: servers.feed.port: "" is not a number, want a whole number from 0 to 65535`},
		{"later", config.LoadOptions{Environ: []string{"WEIR_HOOKS_EVENT=http://x"}}, "environment variable WEIR_HOOKS_EVENT: hooks.event: needs the hook for events, which this version of Weir does not have"},
		{"flag", config.LoadOptions{Overrides: map[string]string{"server.feed.port": "1"}}, "flag: server.feed.port: no such key; did you mean servers.feed.port?"},
		{"contradiction", config.LoadOptions{Environ: []string{"WEIR_MANAGEMENT_HOST=0.0.0.0"}}, `environment variable WEIR_MANAGEMENT_HOST: management.host: "0.0.0.0" is not a loopback address: there management.keys needs at least one entry`},
	} {
		_, err := config.Parse("weir.yaml", []byte(portFile), c.o)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s:\ngot  %v\nwant %s", c.name, err, c.want)
		}
	}
	_, err := config.Parse("weir.yaml", []byte("weir: 1\nservers: {a-b: {port: 1, namespaces: [{path: /}]}, a_b: {port: 2, namespaces: [{path: /y}]}}"), config.LoadOptions{Environ: []string{"WEIR_SERVERS_A_B_PORT=3"}})
	if want := "environment variable WEIR_SERVERS_A_B_PORT: stands for servers.a-b.port and servers.a_b.port alike: rename one of them"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestVariablesOfOthersAreLeftAlone(t *testing.T) {
	parse(t, portFile+"access: {staticTokens: {alice: '${WEIR_ALICE}'}}", config.LoadOptions{Environ: []string{
		"PATH=/bin", "WEIRD=1", "WEIR_ALICE=referred-to-by-the-file",
		"WEIR_FIXTURE=x", "WEIR_BINARY=x", "WEIR_CONFORMANCE_TARGET=x",
		// What Kubernetes sets for services named weir and weir-management.
		"WEIR_SERVICE_HOST=10.0.0.1", "WEIR_SERVICE_PORT=3000", "WEIR_SERVICE_PORT_CLIENTS=3000", "WEIR_PORT=tcp://10.0.0.1:3000",
		"WEIR_PORT_3000_TCP=tcp://10.0.0.1:3000", "WEIR_PORT_3000_TCP_PROTO=tcp", "WEIR_PORT_3000_TCP_PORT=3000", "WEIR_PORT_3000_TCP_ADDR=10.0.0.1",
		"WEIR_MANAGEMENT_SERVICE_HOST=10.0.0.2", "WEIR_MANAGEMENT_PORT=tcp://10.0.0.2:9393", "WEIR_MANAGEMENT_PORT_9393_TCP_PORT=9393",
	}})
}

func TestEnvNamesAreDistinctAndTellWhatTheyTake(t *testing.T) {
	seen := map[string]string{}
	for _, n := range config.EnvNames() {
		if other, twice := seen[n.Name]; twice {
			t.Errorf("%s stands for %s and %s", n.Name, other, n.Path)
		}
		seen[n.Name] = n.Path
		if n.Type == "" || n.Doc == "" {
			t.Errorf("%s: type %q, doc %q", n.Name, n.Type, n.Doc)
		}
	}
	for name, path := range map[string]string{
		"WEIR_MANAGEMENT_PORT":                                "management.port",
		"WEIR_MEMORY_BUDGET_BYTES":                            "memory.budgetBytes",
		"WEIR_SERVERS_<NAME>_PORT":                            "servers.NAME.port",
		"WEIR_SERVERS_<NAME>_SOCKETIO_MAX_HTTP_BUFFER_SIZE":   "servers.NAME.socketio.maxHttpBufferSize",
		"WEIR_SERVERS_<NAME>_LIMITS_SUBSCRIPTIONS_PER_SOCKET": "servers.NAME.limits.subscriptionsPerSocket",
	} {
		if seen[name] != path {
			t.Errorf("%s is %q, want %s", name, seen[name], path)
		}
	}
}
