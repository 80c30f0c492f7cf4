package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/streamweir/weir/internal/journal"
	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/vfs"
)

// evil is what somebody may call a topic, or publish.
const evil = "a\x1b[31mred\x07\u009b2J\u202e\xff"

// writtenJournal is the directory of a journal with 100 records of /feed orders, one of /feed evil, one of /other
// orders, and its owner.
func writtenJournal(t *testing.T) (dir string, j *journal.Journal) {
	t.Helper()
	dir = t.TempDir()
	j, err := journal.Open(journal.Options{FS: vfs.Dir(dir), Fsync: journal.Never, SegmentBytes: 4000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	put := func(namespace, topic string, n int, payload string) {
		l, err := j.Topic(namespace, topic, topiclog.Limits{}, func(topiclog.Placement) {})
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			_, later, err := l.Append(&topiclog.Record{
				Namespace: namespace, Topic: topic, ID: fmt.Sprint("id-", i), At: int64(i) * 1e9, To: topiclog.Recipient{Socket: []string{"", "s1"}[i%2]},
				Payload: fmt.Appendf(nil, payload, i),
			})
			if err == nil {
				_, err = later.Wait(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	put("/feed", "orders", 100, `{"n":%d}`)
	put("/feed", evil, 1, evil+"%d")
	put("/other", "orders", 1, "%d")
	return dir, j
}

// said runs a command and wants that exit code.
func said(t *testing.T, code int, args ...string) (out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	if got := run(t.Context(), args, streams{strings.NewReader(""), &o, &e}); got != code {
		t.Errorf("weir %q: exit code %d, want %d\n%s%s", args, got, code, o.String(), e.String())
	}
	for _, text := range []string{o.String(), e.String()} {
		for _, r := range text {
			if r != '\n' && !unicode.IsGraphic(r) || r == utf8.RuneError {
				t.Errorf("weir %q prints %q", args, r)
			}
		}
	}
	return o.String(), e.String()
}

// Topics, segments and records are shown while a server has the journal open and after it, without a byte that a
// terminal would obey.
func TestJournalIsShown(t *testing.T) {
	dir, j := writtenJournal(t)
	for _, open := range []bool{true, false} {
		state := "open, or not closed in order"
		if !open {
			state = "closed"
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
		}
		out, _ := said(t, 0, "journal", "ls", dir)
		for _, want := range []string{"NAMESPACE", "/feed ", "/other ", " 100 ", " 1-100 ", state, `a\u001b[31mred\u0007\u009b2J\u202e\xff`} {
			if !strings.Contains(out, want) {
				t.Errorf("ls has no %q:\n%s", want, out)
			}
		}
		out, _ = said(t, 0, "journal", "ls", dir, "orders", "--namespace", "/feed")
		if n := strings.Count(out, ".seg"); n < 2 || strings.Contains(out, "/other") {
			t.Errorf("segments of one topic:\n%s", out)
		}
		out, _ = said(t, 0, "journal", "verify", dir)
		if !strings.Contains(out, "3 topics, ") || !strings.Contains(out, ", 102 records: no damage") {
			t.Errorf("verify: %s", out)
		}
		out, _ = said(t, 0, "journal", "cat", dir, "orders", "--namespace", "/feed", "--from", "50", "--limit", "2")
		if want := "50 1970-01-01T00:00:49.000Z id-49 socket=s1 {\"n\":49}\n51 1970-01-01T00:00:50.000Z id-50 {\"n\":50}\n"; out != want {
			t.Errorf("cat: %q", out)
		}
		out, _ = said(t, 0, "journal", "cat", dir, evil)
		if !strings.Contains(out, `a\u001b[31mred`) {
			t.Errorf("cat: %q", out)
		}
		var first struct {
			Offset  uint64
			Base64  []byte
			Payload json.RawMessage
		}
		out, _ = said(t, 0, "journal", "cat", dir, evil, "--json")
		if err := json.Unmarshal([]byte(out), &first); err != nil || string(first.Base64) != evil+"0" {
			t.Errorf("cat --json: %v, %q", err, out)
		}
		out, _ = said(t, 0, "journal", "cat", dir, "orders", "--namespace", "/feed", "--json", "--limit", "1")
		if err := json.Unmarshal([]byte(out), &first); err != nil || string(first.Payload) != `{"n":0}` || first.Offset != 1 {
			t.Errorf("cat --json: %v, %q", err, out)
		}
	}
	_, errs := said(t, 2, "journal", "cat", dir, "orders")
	if !strings.Contains(errs, "2 namespaces have a topic orders: name one with --namespace") {
		t.Error(errs)
	}
	_, errs = said(t, 1, "journal", "cat", dir, "none")
	if !strings.Contains(errs, "is of a topic none") {
		t.Error(errs)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 4 {
		t.Errorf("%v, %v", left, err)
	}
}

// Damage is told, makes the exit code 1, and hides nothing that is sound.
func TestJournalDamageIsTold(t *testing.T) {
	dir, j := writtenJournal(t)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(files, func(a, b string) int { return int(sizeOf(t, b) - sizeOf(t, a)) })
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(files[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ := said(t, 1, "journal", "verify", dir)
	if !strings.Contains(out, "/feed orders: "+filepath.Base(files[0])+": damaged: ") || !strings.Contains(out, ", 101 records: damage in 1 file") {
		t.Errorf("verify: %s", out)
	}
	out, _ = said(t, 1, "journal", "verify", dir, "--json")
	var all struct {
		Damaged bool
		Topics  []struct {
			Topic    string
			Segments []struct{ Damaged bool }
		}
	}
	if err := json.Unmarshal([]byte(out), &all); err != nil || !all.Damaged || len(all.Topics) != 3 {
		t.Errorf("verify --json: %v, %s", err, out)
	}
	out, errs := said(t, 1, "journal", "cat", dir, "orders", "--namespace", "/feed")
	if strings.Count(out, "\n") != 99 || !strings.Contains(errs, "damaged") {
		t.Errorf("cat: %d lines, %s", strings.Count(out, "\n"), errs)
	}
	out, _ = said(t, 0, "journal", "ls", dir)
	if !strings.Contains(out, "damage in 1 segment; closed") {
		t.Errorf("ls: %s", out)
	}
	if _, err := os.Stat(files[0]); errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func sizeOf(t *testing.T, name string) int64 {
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// A directory that is none of a journal is no journal without damage.
func TestDirectoryThatIsNoJournalIsTold(t *testing.T) {
	dir, j := writtenJournal(t)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	segments, err := filepath.Glob(filepath.Join(dir, "*", "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	empty := t.TempDir()
	for path, want := range map[string]string{
		empty:                             "it is no journal",
		filepath.Dir(segments[0]):         "it is the log of one topic: name the directory above it",
		filepath.Join(empty, "not there"): "no such file or directory",
	} {
		for _, args := range [][]string{{"verify", path}, {"verify", path, "--json"}, {"ls", path}, {"cat", path, "orders"}} {
			if _, errs := said(t, 1, append([]string{"journal"}, args...)...); !strings.Contains(errs, path) || !strings.Contains(errs, want) {
				t.Errorf("journal %q: %s", args, errs)
			}
		}
	}
	begun := t.TempDir()
	j, err = journal.Open(journal.Options{FS: vfs.Dir(begun)})
	if err == nil {
		err = j.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, _ := said(t, 0, "journal", "verify", begun); !strings.Contains(out, "0 topics, ") {
		t.Errorf("a journal without topics: %s", out)
	}
}

// The state of a log says which offsets were given: damage in it is damage, whoever meets it.
func TestDamagedStateIsTold(t *testing.T) {
	dir, j := writtenJournal(t)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	all, err := journal.Look(vfs.Dir(dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range all {
		name := filepath.Join(dir, v.Directory, "state")
		data, err := os.ReadFile(name)
		if err == nil {
			data[len(data)/4] ^= 1 // one of its two copies
			err = os.WriteFile(name, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	out, errs := said(t, 1, "journal", "cat", dir, "orders", "--namespace", "/feed")
	if strings.Count(out, "\n") != 100 || !strings.Contains(errs, "weir: /feed orders: state: one of its two copies is damaged") {
		t.Errorf("cat: %d lines, %s", strings.Count(out, "\n"), errs)
	}
	if out, _ := said(t, 1, "journal", "verify", dir); !strings.Contains(out, "damage in 3 files") {
		t.Errorf("verify: %s", out)
	}
	if out, _ := said(t, 1, "journal", "verify", dir, "--json"); !strings.Contains(out, `"damaged":true`) && !strings.Contains(out, `"damaged": true`) {
		t.Errorf("verify --json: %s", out)
	}
}
