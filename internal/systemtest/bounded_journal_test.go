package systemtest_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/streamweir/weir"
)

// What the journal holds in memory, so that readers a little behind need no disk, is in the budget under its name, and
// a small part of it.
func TestTheJournalsMemoryIsInTheBudget(t *testing.T) {
	o := spilling(t, weir.TopicOptions{Name: "ticks", Overflow: weir.SpillToDisk, Max: weir.Limits{Messages: 16}})
	o.Memory.BudgetBytes = 32 << 20
	srv := start(t, o)
	for n := range 2000 {
		publish(t, srv, "ticks", numbered(n, 1024))
	}
	const most = 32 << 20 / 32
	if n := metric(t, srv, "weir_memory_held_bytes", `what="journal"`); n < most/2 || n > most+64<<10 {
		t.Errorf("%v bytes are held by the journal, of %d", n, most)
	}
}

// Where memory is short the journal gives back what it holds to be faster, before that is taken from clients.
func TestTheJournalGivesMemoryBack(t *testing.T) {
	o := spilling(t, weir.TopicOptions{Name: "ticks", Overflow: weir.SpillToDisk, Max: weir.Limits{Messages: 16}},
		weir.TopicOptions{Name: "prices", Max: weir.Limits{Messages: 100_000, Bytes: 64 << 20}})
	o.Memory.BudgetBytes = 32 << 20
	srv := start(t, o)
	for n := range 2000 {
		publish(t, srv, "ticks", numbered(n, 1024))
	}
	held := func() float64 { return metric(t, srv, "weir_memory_held_bytes", `what="journal"`) }
	if n := held(); n < 32<<20/64 {
		t.Fatalf("%v bytes are held by the journal", n)
	}
	dial(t, addr(srv), "/feed", nil, dialOptions{}).subscribe("/feed", "prices")
	eventually(t, "the journal holds next to nothing", func() bool {
		for topic, size := range map[string]int{"prices": 64 << 10, "ticks": 1024} { // a log that rests keeps nothing anyway
			if _, err := srv.Publish(t.Context(), "/feed", topic, numbered(0, size)); err != nil && !errors.Is(err, weir.ErrBusy) {
				t.Fatal(err)
			}
		}
		return held() < 64<<10
	})
	for _, reason := range []string{"budget", "overflow"} {
		if n := metric(t, srv, "weir_dropped_total", `reason="`+reason+`"`); n != 0 {
			t.Errorf("%v messages of clients were dropped for %s before", n, reason)
		}
	}
}

// However many topics have a log, their files take the descriptors of no client: a process that may have 400 publishes
// to 800 topics, again and again in no order, lets clients in all the while, loses nothing and says nothing.
func TestLogsDoNotTakeTheDescriptorsOfClients(t *testing.T) {
	const inside, topics = "WEIR_TEST_DESCRIPTORS", 800
	if os.Getenv(inside) != t.Name() {
		if runtime.GOOS != "linux" {
			t.Skip("a journal needs flock, which is used on Linux only")
		}
		cmd := exec.CommandContext(t.Context(), "sh", "-c", `ulimit -n 400 && exec "$0" "$@"`, os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), inside+"="+t.Name())
		if said, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(said), "--- PASS: "+t.Name()) {
			t.Errorf("%v\n%s", err, said)
		}
		return
	}
	log := new(logbook)
	o := spilling(t, weir.TopicOptions{Name: "user:*", Mode: weir.AtLeastOnce, Overflow: weir.SpillToDisk, Max: weir.Limits{Messages: 4}})
	o.Management.Addr, o.Logger = "127.0.0.1:0", log.logger()
	srv := start(t, o)
	first := dial(t, addr(srv), "/feed", nil, dialOptions{})
	first.subscribe("/feed", "user:7")
	var publishers sync.WaitGroup
	for w := range 8 {
		publishers.Go(func() {
			for n := range 3 * topics / 8 {
				publish(t, srv, fmt.Sprint("user:", (n*8+w)%topics), numbered(n*8/topics, 100))
			}
		})
	}
	publishers.Wait()
	first.read("user:7", 0, 2)
	for range 100 {
		dial(t, addr(srv), "/feed", nil, dialOptions{}).subscribe("/feed", "user:8")
	}
	if n := metric(t, srv, "weir_journal_open_files"); n < 1 || n > 8 {
		t.Errorf("%v files are open", n)
	}
	if n := metric(t, srv, "weir_handshakes_refused_total"); n != 0 {
		t.Errorf("%v handshakes are refused", n)
	}
	if n := metric(t, srv, "weir_journal_appends_total"); n != 3*topics {
		t.Errorf("%v appends of %d", n, 3*topics)
	}
	if lines := log.lines("journal"); len(lines) > 0 {
		t.Errorf("the log says %q", lines)
	}
	if _, body := management(t, srv, http.MethodGet, "/readyz", nil); body != "ready\n" {
		t.Errorf("/readyz: %s", body)
	}
}
