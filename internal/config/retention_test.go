package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/config"
)

// A topic that may keep more than the whole journal is told of, with both keys and both values; a journal that could hold
// next to nothing is refused.
func TestRetentionBeyondTheJournalIsToldOf(t *testing.T) {
	const file = "weir: 1\njournal: {path: /tmp/j, maxBytes: %s}\nservers: {a: {port: 0, namespaces: [{path: /a, %s topics: [{name: t%s}]}]}}"
	for _, c := range []struct{ journal, namespace, topic, path, message string }{
		{"2000000", "", ", retention: {maxBytes: 3000000}", "servers.a.namespaces[0].topics[0].retention.maxBytes",
			"3000000 is more than journal.maxBytes, 2000000, which all topics share: what is published is refused when that is full"},
		{"2000000, whenFull: drop-oldest", "", ", retention: {maxBytes: 3000000}", "servers.a.namespaces[0].topics[0].retention.maxBytes",
			"3000000 is more than journal.maxBytes, 2000000, which all topics share: the oldest records of any topic go when that is full"},
		{"2000000", "retention: {maxBytes: 3000000},", "", "servers.a.namespaces[0].retention.maxBytes", "3000000 is more than"},
		{"2000000", "", ", overflowAction: SPILL_TO_DISK", "servers.a.namespaces[0].topics[0].retention.maxBytes", "1073741824, the default, is more than journal.maxBytes, 2000000"},
		{"3000000", "", ", retention: {maxBytes: 3000000}", "", ""},
		{"2000000", "", "", "", ""}, // it has no log on disk
		{"1073741824", "", ", overflowAction: SPILL_TO_DISK", "", ""},
	} {
		var got []string
		for _, w := range parse(t, fmt.Sprintf(file, c.journal, c.namespace, c.topic), config.LoadOptions{}).Warnings {
			got = append(got, w.Path+": "+w.Message)
		}
		if want := c.path + ": " + c.message; len(got) != min(len(c.path), 1) || len(got) > 0 && !strings.HasPrefix(got[0], want) {
			t.Errorf("%+v: warnings %q", c, got)
		}
	}
}
