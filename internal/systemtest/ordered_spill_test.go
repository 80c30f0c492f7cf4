package systemtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/wire/sio"
)

// spilling is a server with a topic that spills into a directory of the test.
func spilling(t *testing.T, topics ...weir.TopicOptions) weir.Options {
	o := feed(topics...)
	o.Journal.Path = filepath.Join(t.TempDir(), "journal")
	return o
}

// number is the payload of a delivery: {"n": …}.
func number(t testing.TB, pk packet) int {
	t.Helper()
	var d struct{ N int }
	if err := json.Unmarshal(pk.args[0], &d); err != nil {
		t.Fatalf("delivery %s: %v", pk.args, err)
	}
	return d.N
}

// read reads deliveries of a topic, numbered from first to last, and acknowledges them if they ask for it.
func (p *peer) read(topic string, first, last int) {
	p.t.Helper()
	for n := first; n <= last; {
		pk := p.packet()
		if pk.typ != sio.Event || pk.name != topic {
			continue
		}
		if got := number(p.t, pk); got != n {
			p.t.Fatalf("delivery %d of %s comes where %d is due", got, topic, n)
		}
		if len(pk.args) > 1 {
			p.ack(deliveryOf(p.t, pk))
		}
		n++
	}
}

// A real client stalls, is spilled for, and reads again: everything comes, in order, with what is published meanwhile, for both
// modes; a healthy one is not held up; and nothing is lost in the books.
func TestSpilledMessagesAreReadBackInOrder(t *testing.T) {
	const before, after = 3000, 200
	for _, mode := range []weir.Mode{weir.BestEffort, weir.AtLeastOnce} {
		t.Run(mode.String(), func(t *testing.T) {
			srv := start(t, spilling(t, weir.TopicOptions{Name: "ticks", Mode: mode, Overflow: weir.SpillToDisk, Max: weir.Limits{Messages: 16}}))
			slow, healthy := dial(t, addr(srv), "/feed", nil, dialOptions{}), dial(t, addr(srv), "/feed", nil, dialOptions{})
			slow.subscribe("/feed", "ticks")
			healthy.subscribe("/feed", "ticks")
			read := make(chan struct{})
			go func() { defer close(read); healthy.read("ticks", 0, before+after-1) }()
			spilled := 0
			for n := range before {
				spilled += publish(t, srv, "ticks", numbered(n, 1024), weir.WithReceipt()).Spilled
			}
			if spilled == 0 {
				t.Fatal("nothing has spilled")
			}
			if v := views(t, srv); v[0].Lanes == nil {
				t.Error("no lanes are shown")
			}
			for n := range after {
				publish(t, srv, "ticks", numbered(before+n, 1024))
			}
			slow.read("ticks", 0, before+after-1)
			<-read
			for _, reason := range []string{"overflow", "rejected", "spill_failed", "retention"} {
				if n := metric(t, srv, "weir_dropped_total", `topic="ticks"`, `reason="`+reason+`"`); n != 0 {
					t.Errorf("%v dropped for %s", n, reason)
				}
			}
		})
	}
}

// What is on disk outlives the server: its numbers go on, and the directory is for one process.
func TestJournalIsForOneServerAndOutlivesIt(t *testing.T) {
	o := spilling(t, weir.TopicOptions{Name: "orders", Mode: weir.AtLeastOnce, Overflow: weir.SpillToDisk})
	var first weir.Receipt
	t.Run("first", func(t *testing.T) {
		srv := start(t, o)
		publish(t, srv, "orders", 1)
		first = publish(t, srv, "orders", 2)
		second, err := weir.New(withDriver(o))
		if err != nil {
			t.Fatal(err)
		}
		if err := second.Run(t.Context()); err == nil || !strings.Contains(err.Error(), o.Journal.Path) {
			t.Errorf("a second server on the same directory: %v", err)
		}
	})
	srv := start(t, o)
	if r := publish(t, srv, "orders", 3); r.Epoch != first.Epoch || r.Offset <= first.Offset {
		t.Errorf("after a restart it is %+v, it was %+v", r, first)
	}
	err := filepath.WalkDir(o.Journal.Path, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A topic of a pattern has its log opened when it is first named; whoever names it waits, and the socket's other requests
// behind it.
func TestTopicsOfPatternsHaveLogsOfTheirOwn(t *testing.T) {
	o := spilling(t, weir.TopicOptions{Name: "user:*", Overflow: weir.SpillToDisk, Max: weir.Limits{Messages: 4}})
	o.Namespaces[0].AutoSubscribe = []string{"user:all"}
	srv := start(t, o)
	c := dial(t, addr(srv), "/feed", nil, dialOptions{})
	c.subscribe("/feed", "user:1")
	for n := range 50 {
		publish(t, srv, "user:1", numbered(n, 10))
		publish(t, srv, "user:2", numbered(n, 10))
	}
	c.read("user:1", 0, 49)
	eventually(t, "it is subscribed automatically", func() bool {
		return publish(t, srv, "user:all", numbered(0, 10), weir.WithReceipt()).Subscribers == 1
	})
	c.read("user:all", 0, 0)
}

// Without a topic that needs it nothing is opened, and before Run nothing is taken.
func TestJournalIsOpenedWhereItIsNeeded(t *testing.T) {
	o := spilling(t, weir.TopicOptions{Name: "ticks"})
	srv := start(t, o)
	publish(t, srv, "ticks", 1)
	if _, err := os.Stat(o.Journal.Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory: %v", err)
	}
	kept, err := srv.Declare(weir.NamespaceOptions{Path: "/kept", Topics: []weir.TopicOptions{{Name: "orders", Mode: weir.AtLeastOnce, Overflow: weir.RejectNew, Retention: weir.Retention{MaxBytes: 1 << 20}}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kept.Publish(t.Context(), "orders", 1); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(o.Journal.Path); err != nil {
		t.Errorf("the directory: %v", err)
	}
	early, err := weir.New(spilling(t, weir.TopicOptions{Name: "ticks", Overflow: weir.SpillToDisk}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := early.Publish(context.Background(), "/feed", "ticks", 1); !errors.Is(err, weir.ErrUnavailable) {
		t.Errorf("before Run: %v", err)
	}
	if err := early.Close(); err != nil {
		t.Error(err)
	}
}

// A topic that needs the journal is refused where there is no directory for it.
func TestSpillToDiskNeedsADirectory(t *testing.T) {
	for what, topic := range map[string]weir.TopicOptions{
		"Overflow SPILL_TO_DISK: needs the journal's directory": {Name: "orders", Mode: weir.AtLeastOnce, Overflow: weir.SpillToDisk},
		"Retention: needs the journal's directory":              {Name: "orders", Retention: weir.Retention{MaxBytes: 1}},
	} {
		if _, err := weir.New(feed(topic)); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("New: %v, want %s", err, what)
		}
	}
}
