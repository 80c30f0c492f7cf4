package systemtest_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/wire/ws"
)

// The defects of streamfence.md that SPILL_TO_DISK had, over real sockets: those of one client's data in another's
// hands, of payloads that change, and of a disk without a limit. W2 is TestSpilledMessagesAreReadBackInOrder; the
// others, which no driver has a part in, are beside the rooms (internal/delivery, internal/journal, journal_test.go).

// heldBehind is a client of a spilling topic whose connection takes nothing, as it does not read.
func heldBehind(t *testing.T, srv *weir.Server, topics ...string) *lean {
	t.Helper()
	c := newLean(t, addr(srv), "/feed", leanOptions{})
	for _, topic := range append(topics, "plug") {
		if err := c.subscribe("/feed", topic); err != nil {
			t.Fatal(err)
		}
	}
	heldBack(t, srv, c)
	return c
}

// J1: what waits for one client on disk is for that client alone. (StreamFence: the directory was the topic's, and
// whoever refilled first read everybody's.) J2: who leaves takes nothing from the others.
func TestSpilledMessagesAreNobodyElses(t *testing.T) {
	srv := start(t, spilling(t, plug, weir.TopicOptions{Name: "mail", Overflow: weir.SpillToDisk, Max: weir.Limits{Messages: 2}}))
	a, b, leaves := heldBehind(t, srv, "mail"), heldBehind(t, srv, "mail"), heldBehind(t, srv, "mail")
	for n := range 60 {
		publish(t, srv, "mail", numbered(n, 200), weir.ToSocket([]*lean{a, b, leaves}[n%3].sid))
	}
	_ = leaves.conn.Close()
	eventually(t, "one has left", func() bool { return len(views(t, srv)) == 2 })
	for i, c := range []*lean{a, b} {
		for n := i; n < 60; n += 3 {
			if got, err := c.number("mail"); err != nil || got != n {
				t.Fatalf("client %d reads %d where %d is due: %v", i, got, n, err)
			}
		}
	}
	publish(t, srv, "mail", numbered(60, 200))
	for i, c := range []*lean{a, b} {
		if got, err := c.number("mail"); err != nil || got != 60 {
			t.Errorf("client %d reads %d then: %v", i, got, err)
		}
	}
}

// S3: a payload comes back from the disk byte for byte: JSON that no number type could hold, and any bytes at all. (StreamFence: a
// buffer came back as {"type":"Buffer",…}, and a date as text of another form.)
func TestSpilledPayloadsComeBackAsTheyWere(t *testing.T) {
	srv := start(t, spilling(t, plug, weir.TopicOptions{Name: "odd", Overflow: weir.SpillToDisk, Max: weir.Limits{Messages: 2}}))
	c := heldBehind(t, srv, "odd")
	payloads := []any{
		json.RawMessage(`{"when":"2024-02-30T25:61:00.000Z","big":12345678901234567890,"n":1.0,"e":1E400,"u":"\u2028é","b":null,"z":-0}`),
		[]byte{0, 1, 2, 0xff, 0xfe, '"', '{', 0, 0x80},
		json.RawMessage(`"` + strings.Repeat("ä", 5000) + `"`), []byte(nil), []byte(`{"type":"Buffer","data":[1]}`), json.RawMessage(`[]`),
	}
	for range 3 {
		for _, p := range payloads {
			publish(t, srv, "odd", p)
		}
	}
	eventually(t, "most of 18 have spilled", func() bool {
		for _, l := range client(t, srv, c.sid).Lanes {
			if l.Topic == "odd" && l.Spilled >= 10 {
				return true
			}
		}
		return false
	})
	read := func() (ws.Opcode, string) {
		t.Helper()
		op, p, err := c.message()
		if err != nil {
			t.Fatal(err)
		}
		return op, string(p)
	}
	for i := range 3 * len(payloads) {
		_, text := read()
		for strings.HasPrefix(text, `42/feed,["plug"`) {
			_, text = read()
		}
		switch want := payloads[i%len(payloads)].(type) {
		case json.RawMessage:
			if text != `42/feed,["odd",`+string(want)+`]` {
				t.Errorf("payload %d comes back as %s", i, text)
			}
		case []byte:
			if op, got := read(); op != ws.Binary || got != string(want) || !strings.HasPrefix(text, `451-/feed,["odd",`) {
				t.Errorf("payload %d comes back as %s and %q", i, text, got)
			}
		}
	}
}

// S14: one limit for all topics and clients together, on the disk and in memory. (StreamFence: one for each client and
// topic, so ten thousand clients are ten thousand times as much.) The directory never has more; what gives way is what
// the options say, and it is told.
func TestAllThatSpillsHasOneLimit(t *testing.T) {
	const most, budget, topics, size = 1 << 20, 64 << 20, 12, 8 << 10
	for _, full := range []weir.WhenFull{weir.WhenFullRefuse, weir.WhenFullDropOldest} {
		t.Run(string(full), func(t *testing.T) {
			o := spilling(t, plug, weir.TopicOptions{Name: "user:*", Mode: weir.AtLeastOnce, Overflow: weir.SpillToDisk, Max: weir.Limits{Messages: 2}})
			o.Journal.MaxBytes, o.Journal.WhenFull, o.Memory.BudgetBytes = most, full, budget
			srv := start(t, o)
			var names []string
			for i := range topics {
				names = append(names, "user:"+string(rune('a'+i)))
			}
			for range 3 {
				heldBehind(t, srv, names...)
			}
			refused := 0
			for n := range 400 {
				_, err := srv.Publish(t.Context(), "/feed", names[n%topics], numbered(n, size))
				if errors.Is(err, weir.ErrUnavailable) || errors.Is(err, weir.ErrBusy) {
					refused++
				} else if err != nil {
					t.Fatal(err)
				}
				if used := bytesIn(t, o.Journal.Path); used > most {
					t.Fatalf("%d bytes are on the disk after %d messages, %d may be", used, n+1, most)
				}
			}
			if (refused > 0) != (full == weir.WhenFullRefuse) {
				t.Errorf("%d of 400 publications were refused", refused)
			}
			if held := metric(t, srv, "weir_memory_held_bytes"); held > budget/8 {
				t.Errorf("%v bytes of memory are held", held)
			}
			balanced(t, srv, names...)
		})
	}
}

// bytesIn is how many bytes all files of a directory have.
func bytesIn(t *testing.T, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if info, err := d.Info(); err == nil && !d.IsDir() {
			n += info.Size()
		} else if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return n
}
