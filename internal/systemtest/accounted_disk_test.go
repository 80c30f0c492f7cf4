package systemtest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamweir/weir"
)

// withMounts runs the test once more in a process with mounts of its own, and reports whether this is it.
func withMounts(t *testing.T) bool {
	const inside = "WEIR_TEST_MOUNTS"
	switch {
	case os.Getenv(inside) == t.Name():
		return true
	case runtime.GOOS != "linux" || os.Getuid() != 0:
		t.Skip("only root may mount file systems")
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--propagation", "private", os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"="+t.Name())
	said, err := cmd.CombinedOutput()
	var ended *exec.ExitError
	switch {
	case err != nil && (!errors.As(err, &ended) || strings.Contains(string(said), "unshare:")):
		t.Skipf("no mounts of its own: %v %s", err, said)
	case strings.Contains(string(said), "--- SKIP"):
		t.Skipf("inside: %s", said)
	case err != nil || !strings.Contains(string(said), "--- PASS: "+t.Name()):
		t.Errorf("%v\n%s", err, said)
	}
	return false
}

func run(t *testing.T, name string, args ...string) error {
	t.Helper()
	if said, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %q: %w: %s", name, args, err, said)
	}
	return nil
}

// watched is a server with a reliable topic whose journal is in a directory that a test breaks, and what its operator sees.
type watched struct {
	*weir.Server
	t   *testing.T
	log *logbook
}

func watch(t *testing.T, dir string) *watched {
	w := &watched{t: t, log: new(logbook)}
	o := feed(weir.TopicOptions{Name: "orders", Mode: weir.AtLeastOnce, Overflow: weir.SpillToDisk}, weir.TopicOptions{Name: "prices"})
	o.Journal.Path = filepath.Join(dir, "journal")
	o.Logger, o.Management.Addr = w.log.logger(), "127.0.0.1:0"
	w.Server = start(t, o)
	publish(t, w.Server, "orders", 1)
	w.sees("")
	return w
}

// sees waits until everything an operator looks at says that the disk is in that trouble, "" in none, and checks that
// all of it does.
func (w *watched) sees(what string) {
	w.t.Helper()
	sentence := map[string]string{
		"full": "the disk of the journal is full", "gone": "the journal's directory, or its disk, is gone", "slow": "the disk of the journal is slow",
	}[what]
	ready := func() string {
		status, body := management(w.t, w.Server, http.MethodGet, "/readyz", nil)
		if status != http.StatusOK {
			w.t.Errorf("/readyz: %d %s", status, body)
		}
		return body
	}
	if what == "" {
		eventually(w.t, "/readyz says that all is well", func() bool { return ready() == "ready\n" })
		if n := metric(w.t, w.Server, "weir_journal_trouble"); n != 0 {
			w.t.Errorf("weir_journal_trouble is %v", n)
		}
		return
	}
	eventually(w.t, "/readyz says that it is "+what, func() bool { return strings.HasPrefix(ready(), "ready, but "+sentence+", since ") })
	if body := ready(); strings.Contains(body, "orders") || strings.Contains(body, "/journal") {
		w.t.Errorf("/readyz names topics or files to whoever asks: %s", body)
	}
	if n := metric(w.t, w.Server, "weir_journal_trouble", `what="`+what+`"`); n != 1 {
		w.t.Errorf("weir_journal_trouble is %v", n)
	}
	var lag struct {
		Verdict struct{ Kind, Problem, Subject, Sentence, Since string }
		Disk    []struct{ What, Since, Detail string }
	}
	eventually(w.t, "/api/lag says that it is "+what, func() bool {
		answer(w.t, w.Server, "/api/lag", &lag)
		return lag.Verdict.Kind == "disk" // a look is good for a second
	})
	v := lag.Verdict
	if v.Problem != "disk" || v.Subject != what || v.Since == "" || !strings.EqualFold(v.Sentence[:len(sentence)], sentence) || len(lag.Disk) != 1 || lag.Disk[0].Detail == "" {
		w.t.Errorf("%+v", lag)
	}
}

// told checks how often the log says that the disk is in trouble, and that it is over.
func (w *watched) told(begun, over int) {
	w.t.Helper()
	if b, o := w.log.lines("journal: ", "level=ERROR"), w.log.lines("journal: ", "takes appends again", "level=INFO"); len(b) != begun || len(o) != over {
		w.t.Errorf("the log says %q, then %q", b, o)
	}
}

// refuses publishes until it is refused, and then a hundred times more.
func (w *watched) refuses() {
	w.t.Helper()
	refused := 0
	for n := 0; refused < 100 && n < 10_000; n++ {
		_, err := w.Publish(w.t.Context(), "/feed", "orders", numbered(n, 4096))
		switch {
		case errors.Is(err, weir.ErrUnavailable):
			refused++
		case err != nil:
			w.t.Fatal(err)
		}
	}
	if n := metric(w.t, w.Server, "weir_journal_refused_total", `reason="disk"`); refused < 100 || n < 100 {
		w.t.Errorf("%d refused, %v counted", refused, n)
	}
	if n := metric(w.t, w.Server, "weir_journal_refusing_topics"); n != 1 {
		w.t.Errorf("%v topics refuse", n)
	}
	publish(w.t, w.Server, "prices", 1) // what needs no disk goes on
}

// A client falls behind its topic's log: the lag view, the list of clients and the metrics say by how much and since
// when, under the name as declared; and when it has read on that it is over.
func TestWhoIsBehindIsSeen(t *testing.T) {
	const all = 3000
	o := spilling(t, weir.TopicOptions{Name: "user:*", Overflow: weir.SpillToDisk, Max: weir.Limits{Messages: 16}}, weir.TopicOptions{Name: "prices", Max: weir.Limits{Messages: 1000, Bytes: 1 << 20}})
	o.Management.Addr, o.Shards = "127.0.0.1:0", 1
	srv := start(t, o)
	idle, slow := dial(t, addr(srv), "/feed", nil, dialOptions{}), dial(t, addr(srv), "/feed", nil, dialOptions{})
	slow.subscribe("/feed", "user:42")
	idle.subscribe("/feed", "user:1")
	for n := range all {
		publish(t, srv, "user:42", numbered(n, 1024), weir.WithReceipt())
	}
	idle.subscribe("/feed", "prices") // more waits in its lanes
	for n := range 800 {
		publish(t, srv, "prices", numbered(n, 1024))
	}
	const labels = `namespace="/feed",topic="user:*"`
	spilled := metric(t, srv, "weir_spilled_messages", labels)
	if n := metric(t, srv, "weir_spilled_total", labels); n < spilled || spilled < all/2 {
		t.Errorf("%v messages have spilled, %v wait", n, spilled)
	}
	if b, lanes := metric(t, srv, "weir_spilled_bytes", labels), metric(t, srv, "weir_lanes_behind", labels); b < 1024*spilled || lanes != 1 {
		t.Errorf("%v bytes, %v lanes", b, lanes)
	}
	type behind struct {
		Clients, Messages, Bytes int64
		Since                    time.Time
	}
	type board struct {
		Lagging int
		Behind  behind
		Topics  []struct {
			Topic  string
			Behind behind
		}
	}
	var lag board
	eventually(t, "it lags", func() bool {
		answer(t, srv, "/api/lag", &lag)
		return lag.Lagging == 2
	})
	if b := lag.Behind; b.Clients != 1 || b.Messages != int64(spilled) || b.Bytes < 1024*int64(spilled) || b.Since.IsZero() || len(lag.Topics) == 0 || lag.Topics[0].Topic != "user:42" || lag.Topics[0].Behind != b {
		t.Errorf("%+v", lag)
	}
	for _, order := range []string{"lag", "bytes"} {
		var found struct{ Clients []weir.ClientView }
		answer(t, srv, "/api/clients?limit=1&sort="+order, &found)
		if v := found.Clients; len(v) != 1 || v[0].Spilled != int(spilled) || v[0].SpilledBytes != lag.Behind.Bytes || !v[0].BehindSince.Equal(lag.Behind.Since) ||
			v[0].OldestMs < 1000 || v[0].Lanes[1].Spilled != v[0].Spilled || v[0].Lanes[1].BehindSince.IsZero() {
			t.Errorf("by %s: %+v", order, v)
		}
	}
	eventually(t, "the oldest unread record is a second old", func() bool {
		return metric(t, srv, "weir_journal_oldest_unread_seconds", `namespace="/feed"`) > 1
	})
	if n := metric(t, srv, "weir_journal_appends_total"); n != all { // prices have no journal
		t.Errorf("%v appends", n)
	}
	if b, files := metric(t, srv, "weir_journal_bytes", labels), metric(t, srv, "weir_journal_segments", labels); b < 1024*all || files < 1 || b > metric(t, srv, "weir_journal_used_bytes") {
		t.Errorf("%v bytes in %v files", b, files)
	}
	slow.read("user:42", 0, all-1)
	idle.read("prices", 0, 799)
	eventually(t, "nobody is behind", func() bool {
		return metric(t, srv, "weir_spilled_messages", labels)+metric(t, srv, "weir_spilled_bytes", labels)+metric(t, srv, "weir_lanes_behind", labels) == 0 &&
			metric(t, srv, "weir_journal_oldest_unread_seconds", `namespace="/feed"`) == 0
	})
	eventually(t, "nobody lags", func() bool {
		lag = board{}
		answer(t, srv, "/api/lag", &lag)
		return lag.Lagging == 0 && lag.Behind == behind{}
	})
	if n := metric(t, srv, "weir_journal_reads_total", `from="memory"`) + metric(t, srv, "weir_journal_reads_total", `from="disk"`); n == 0 {
		t.Error("it was read without a read")
	}
	if n := metric(t, srv, "weir_journal_sync_seconds_count"); n == 0 {
		t.Error("nothing was synced")
	}
}

// answer reads an answer of the management port.
func answer(t *testing.T, srv *weir.Server, path string, into any) {
	t.Helper()
	status, body := management(t, srv, http.MethodGet, path, nil)
	if err := json.Unmarshal([]byte(body), into); err != nil || status != http.StatusOK {
		t.Fatalf("GET %s: %d %s", path, status, body)
	}
}

// A real disk is filled up under a server: an operator sees it wherever he looks, in one line of the log for all
// messages; and that it is over though nobody publishes.
func TestFullDiskIsSeen(t *testing.T) {
	if !withMounts(t) {
		return
	}
	dir := t.TempDir()
	if err := run(t, "mount", "-t", "tmpfs", "-o", "size=1m", "weir", dir); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "--lazy", dir).Run() })
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 512<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	w := watch(t, dir)
	w.refuses()
	w.sees("full")
	w.told(1, 0)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	w.sees("")
	w.told(1, 1)
	publish(t, w.Server, "orders", 2)
}

// mountImage mounts a file system of its own, of so many bytes.
func mountImage(t *testing.T, bytes int64) (dir string) {
	t.Helper()
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, bytes), run(t, "mkfs.ext4", "-q", image))
	if err == nil {
		err = run(t, "mount", "-o", "loop", image, dir)
	}
	if err != nil {
		t.Skipf("no image of a file system can be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "--lazy", dir).Run() })
	return dir
}

// freeze has a file system hang until the returned function is called, or the test ends.
func freeze(t *testing.T, dir string) (thaw func()) {
	t.Helper()
	if err := run(t, "fsfreeze", "--freeze", dir); err != nil {
		t.Skip(err)
	}
	thaw = sync.OnceFunc(func() { _ = exec.Command("fsfreeze", "--unfreeze", dir).Run() })
	t.Cleanup(thaw)
	return thaw
}

// A real file system hangs: that is slow. Nothing is lost, and it is over when it is.
func TestHangingDiskIsSeen(t *testing.T) {
	if !withMounts(t) {
		return
	}
	dir := mountImage(t, 8<<20)
	w := watch(t, dir)
	thaw := freeze(t, dir)
	published := make(chan error, 1)
	go func() {
		_, err := w.Publish(t.Context(), "/feed", "orders", numbered(2, 4096))
		published <- err
	}()
	w.sees("slow")
	publish(t, w.Server, "prices", 1) // what needs no disk goes on
	thaw()
	if err := <-published; err != nil {
		t.Errorf("what was published to a slow disk: %v", err)
	}
	w.sees("")
	if b, o := w.log.lines("journal: the disk of the journal is slow"), w.log.lines("journal: ", "fast again", "since="); len(b) != 1 || len(o) != 1 {
		t.Errorf("the log says %q, then %q", b, o)
	}
}

// Files of a topic are removed under a server, again and again: it goes on in others, and its operator hears of it, once.
func TestRemovedFilesAreSeen(t *testing.T) {
	dir := t.TempDir()
	w := watch(t, dir)
	n := 1
	eventually(t, "/readyz says that files were removed", func() bool {
		topics, err := filepath.Glob(filepath.Join(dir, "journal", strings.Repeat("?", 32)))
		if err != nil || len(topics) == 0 {
			t.Fatalf("%q, %v", topics, err)
		}
		for _, topic := range topics {
			if err := os.RemoveAll(topic); err != nil {
				t.Logf("while it is written: %v", err)
			}
		}
		n++
		publish(t, w.Server, "orders", n)
		_, body := management(t, w.Server, http.MethodGet, "/readyz", nil)
		return strings.HasPrefix(body, "ready, but somebody else has removed files of the journal, since ")
	})
	w.sees("")
	if b, o := w.log.lines("journal: ", "level=ERROR"), w.log.lines("journal: ", "any more files", "level=INFO"); len(b) != 1 || len(o) != 1 {
		t.Errorf("the log says %q, then %q", b, o)
	}
	publish(t, w.Server, "orders", n+1)
	if n := metric(t, w.Server, "weir_journal_damaged_total"); n == 0 {
		t.Error("nothing is counted")
	}
}

// The directory is moved away under a server, and back.
func TestGoneDirectoryIsSeen(t *testing.T) {
	dir := t.TempDir()
	w := watch(t, dir)
	here, away := filepath.Join(dir, "journal"), filepath.Join(dir, "away")
	if err := os.Rename(here, away); err != nil {
		t.Fatal(err)
	}
	w.sees("gone")
	w.refuses()
	w.told(1, 0)
	if err := os.Rename(away, here); err != nil {
		t.Fatal(err)
	}
	w.sees("")
	w.told(1, 1)
	publish(t, w.Server, "orders", 2)
}
