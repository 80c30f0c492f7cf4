package config_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/config"
)

func streamFenceTopic(t *testing.T, keys string) weir.TopicOptions {
	t.Helper()
	text := "servers: {a: {namespaces: [{path: /x, topics: [t], " + keys + "}]}}"
	return parse(t, text, config.LoadOptions{}).Options.Servers[0].Namespaces[0].Topics[0]
}

func TestStreamFenceFileHasStreamFenceDefaults(t *testing.T) {
	want := weir.TopicOptions{
		Name: "t", Mode: weir.AtLeastOnce, Overflow: weir.RejectNew, Max: weir.Limits{Messages: 64, Bytes: 524288}, Weight: 1,
		SnapshotMax: weir.Limits{Messages: 1000, Bytes: 1 << 20}, HistoryBytes: 1 << 20,
		MaxInFlight: 1, AckTimeout: time.Second, MaxRetries: 1, RetryBackoff: 1,
	}
	if diff := cmp.Diff(want, streamFenceTopic(t, "deliveryMode: AT_LEAST_ONCE, maxRetries: 1")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// protocol.md 3.3: the coalesce key is the topic's name, and without coalesce there is none.
func TestStreamFenceCoalesce(t *testing.T) {
	for _, action := range []string{"DROP_OLDEST", "REJECT_NEW", "COALESCE", "SNAPSHOT_ONLY"} {
		if got := streamFenceTopic(t, "coalesce: true, overflowAction: "+action).Overflow; got != weir.SnapshotOnly {
			t.Errorf("coalesce: true with %s is %v, want SNAPSHOT_ONLY", action, got)
		}
	}
	if got := streamFenceTopic(t, "overflowAction: COALESCE").Overflow; got != weir.RejectNew {
		t.Errorf("COALESCE without coalesce is %v, want REJECT_NEW", got)
	}
	if got := streamFenceTopic(t, "overflowAction: COALESCE, key: /symbol"); got.Overflow != weir.Coalesce || got.Key != "/symbol" {
		t.Errorf("COALESCE with Weir's key is %v by %q", got.Overflow, got.Key)
	}
}

func TestStreamFenceWindowOfNothingIsOne(t *testing.T) {
	for _, n := range []int{0, -5} {
		if got := streamFenceTopic(t, fmt.Sprintf("maxInFlight: %d", n)).MaxInFlight; got != 1 {
			t.Errorf("maxInFlight %d is %d, want 1", n, got)
		}
		text := fmt.Sprintf("servers: {a: {namespaces: [{path: /x, topics: [{name: t, maxInFlight: %d}]}]}}", n)
		if got := parse(t, text, config.LoadOptions{}).Options.Servers[0].Namespaces[0].Topics[0].MaxInFlight; got != 1 {
			t.Errorf("maxInFlight %d of a topic is %d, want 1", n, got)
		}
	}
}

func TestStreamFenceOriginsAreOpenUnlessCookiesCount(t *testing.T) {
	const file = "weir: 0\nservers: {a: {%s namespaces: [{path: /x, topics: [t], clientPublish: allow, overflowAction: DROP_OLDEST}]}}"
	for _, c := range []struct {
		keys     string
		origins  []string
		warnings int
	}{
		{"", []string{"*"}, 1},
		{"credentials: true,", nil, 0},
		{"origins: ['https://example.com'],", []string{"https://example.com"}, 0},
		{"origins: [],", nil, 0},
	} {
		got := parse(t, fmt.Sprintf(file, c.keys), config.LoadOptions{})
		if diff := cmp.Diff(c.origins, got.Options.Servers[0].Origins); diff != "" {
			t.Errorf("%q: -want +got:\n%s", c.keys, diff)
		}
		if len(got.Warnings) != c.warnings {
			t.Errorf("%q: warnings %v, want %d", c.keys, got.Warnings, c.warnings)
		}
	}
}

// TestFileWithoutItsFirstLineIsTold: who forgets "weir: 1" is told once that the file has StreamFence's meaning, and the
// line to add; who writes either line is not.
func TestFileWithoutItsFirstLineIsTold(t *testing.T) {
	const file = "servers: {a: {origins: [], namespaces: [{path: /x, topics: [t], clientPublish: allow, overflowAction: DROP_OLDEST}]}}"
	c := parse(t, file, config.LoadOptions{})
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0].Message, "StreamFence") || !strings.Contains(c.Warnings[0].Message, "add the line: weir: 1") {
		t.Errorf("warnings %v", c.Warnings)
	}
	for _, line := range []string{"weir: 0", "weir: 1"} {
		if c := parse(t, line+"\n"+file, config.LoadOptions{}); len(c.Warnings) > 0 {
			t.Errorf("%s: %v", line, c.Warnings)
		}
	}
}

func TestWarningsSayTheEffectInNumbers(t *testing.T) {
	c := parse(t, `servers: {a: {origins: [], namespaces: [
  {path: /x, topics: [a, b], clientPublish: allow},
  {path: /y, topics: [c], clientPublish: allow, deliveryMode: AT_LEAST_ONCE, maxRetries: 1, ackTimeoutMs: 250, overflowAction: DISCONNECT}]}}`, config.LoadOptions{})
	var all []string
	for _, w := range c.Warnings {
		all = append(all, w.String())
	}
	want := []string{
		"without it this is a file of StreamFence JS and has its defaults",
		"a, b: REJECT_NEW with 64 messages: at 100 messages/s a client that stalls for more than 0.64 s loses the newest",
		"c: maxInFlight 1: at 50 ms round trip one client gets at most 20 messages/s",
		"c: maxRetries 1 with ackTimeoutMs 250: a message that a client does not acknowledge within 0.5 s is lost",
	}
	if len(all) != len(want) {
		t.Fatalf("got %d warnings, want %d: %q", len(all), len(want), all)
	}
	for i := range want {
		if !strings.Contains(all[i], want[i]) {
			t.Errorf("warning %d is\n%s\nwant\n%s", i, all[i], want[i])
		}
	}
	if quiet := parse(t, "weir: 1\nservers: {a: {namespaces: [{path: /x, topics: [t], overflowAction: REJECT_NEW}]}}", config.LoadOptions{}); len(quiet.Warnings) > 0 {
		t.Errorf("with weir: 1: %v", quiet.Warnings)
	}
}

// StreamFence files that spill run: the journal is where they spill to.
func TestStreamFenceSpills(t *testing.T) {
	const file = "servers: {a: {%s namespaces: [{path: /x, topics: [t], overflowAction: SPILL_TO_DISK}]}, b: {port: 3001, %s namespaces: [{path: /y, topics: [t]}]}}"
	for _, c := range []struct{ a, b, path, warning string }{
		{"", "", ".streamfence-spill", ""},
		{"spillRootPath: /one,", "", "/one", ""},
		{"", "spillRootPath: /two,", "/two", ""},
		{"spillRootPath: /one,", "spillRootPath: /two,", "/one", "there is one journal for all servers: it is in /one"},
	} {
		got := parse(t, fmt.Sprintf(file, c.a, c.b), config.LoadOptions{})
		if got.Options.Journal.Path != c.path || got.Options.Servers[0].Namespaces[0].Topics[0].Overflow != weir.SpillToDisk {
			t.Errorf("%q, %q: the journal is in %q, want %q", c.a, c.b, got.Options.Journal.Path, c.path)
		}
		told := slices.ContainsFunc(got.Warnings, func(w config.Warning) bool { return strings.Contains(w.Message, "one journal for all servers") })
		if told != (c.warning != "") {
			t.Errorf("%q, %q: %v", c.a, c.b, got.Warnings)
		}
	}
	if got := parse(t, "servers: {a: {namespaces: [{path: /x, topics: [t]}]}}", config.LoadOptions{}); got.Options.Journal.Path != "" {
		t.Errorf("nothing spills, and the journal is in %q", got.Options.Journal.Path)
	}
}
