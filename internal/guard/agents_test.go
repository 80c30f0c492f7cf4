package guard_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/streamweir/weir/internal/guard"
)

func browser(text string) http.Header { return http.Header{"User-Agent": {text}} }

// TestAgentsAreKnownByFourBytes, as many as there is room for, those that came last; none takes more than its room.
func TestAgentsAreKnownByFourBytes(t *testing.T) {
	a := guard.NewAgents(nil)
	first := a.Came(browser("first"))
	if first != guard.Agent(browser("first")) || a.Text(first) != "first" {
		t.Errorf("%d is %q", first, a.Text(first))
	}
	if none := a.Came(http.Header{}); a.Text(none) != "" {
		t.Errorf("no User-Agent is %q", a.Text(none))
	}
	if n := testing.AllocsPerRun(100, func() { a.Came(browser0) }); n > 0 {
		t.Errorf("a kind that is known costs %v allocations", n)
	}
	long := a.Came(browser(strings.Repeat("x", 199) + "é" + strings.Repeat("x", 5000)))
	if text := a.Text(long); len(text) != 199 || !utf8.ValidString(text) {
		t.Errorf("a long one is kept with %d bytes: %q", len(text), text)
	}
	var ids []uint32
	for i := range 1024 {
		ids = append(ids, a.Came(browser(fmt.Sprint("kind ", i))))
		if i%100 == 0 {
			a.Came(browser("first")) // it comes again and again
		}
	}
	if a.Text(first) != "first" || a.Text(ids[1023]) != "kind 1023" || a.Text(ids[0]) != "" || a.Text(long) != "" {
		t.Errorf("beyond the room: %q, %q, %q, %q", a.Text(first), a.Text(ids[1023]), a.Text(ids[0]), a.Text(long))
	}
}

var browser0 = browser("one that is known")
