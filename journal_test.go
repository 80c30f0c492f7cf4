package weir_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/attach"
	"github.com/streamweir/weir/internal/journal"
	"github.com/streamweir/weir/internal/metrics"
	"github.com/streamweir/weir/internal/vfs"
)

// The words of a disk in trouble are those that metrics have a series for.
func TestTroublesHaveTheirSeries(t *testing.T) {
	if len(metrics.Whats) != int(journal.Whats) {
		t.Errorf("%d words, want %d", len(metrics.Whats), journal.Whats)
	}
	for w := range journal.Whats {
		if metrics.Whats[w] != w.String() || w.Sentence() == journal.Whats.Sentence() {
			t.Errorf("%q, want %q: %s", metrics.Whats[w], w, w.Sentence())
		}
	}
}

// A server that is told to end while it opens its logs ends in order.
func TestServerEndsWhileItOpensItsLogs(t *testing.T) {
	srv, err := weir.New(weir.Options{
		Logger: slog.New(slog.DiscardHandler), Journal: weir.JournalOptions{Path: filepath.Join(t.TempDir(), "journal")},
		Namespaces: []weir.NamespaceOptions{{Path: "/feed", Topics: []weir.TopicOptions{{Name: "ticks", Overflow: weir.SpillToDisk}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := srv.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// served runs a server until the returned function is called.
func served(t *testing.T, o weir.Options) (srv *weir.Server, end func()) {
	t.Helper()
	srv, err := weir.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	if err := srv.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return srv, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// StreamFence S2: nothing stays on disk that nobody can read. The log of a topic that nobody uses goes once its newest
// record is older than the topic's retention, and not before.
func TestLogsOfUnusedTopicsGoWithTheirRetention(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	o := weir.Options{
		Logger: slog.New(slog.DiscardHandler), Journal: weir.JournalOptions{Path: dir}, Drain: weir.DrainOptions{Timeout: time.Second},
		Namespaces: []weir.NamespaceOptions{{Path: "/feed", Topics: []weir.TopicOptions{{Name: "user:*", Overflow: weir.SpillToDisk}}}},
	}
	logs := func() (n int) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.IsDir() {
				n++
			}
		}
		return n
	}
	srv, end := served(t, o)
	for _, topic := range []string{"user:1", "user:2"} {
		if _, err := srv.Publish(t.Context(), "/feed", topic, 1); err != nil {
			t.Fatal(err)
		}
	}
	end()
	srv, end = served(t, o)
	defer end()
	if _, err := srv.Publish(t.Context(), "/feed", "user:2", 2); err != nil { // in use again
		t.Fatal(err)
	}
	srv.SweepJournal(time.Now().Add(50 * time.Minute))
	if n := logs(); n != 2 {
		t.Errorf("%d logs within their retention, want 2", n)
	}
	srv.SweepJournal(time.Now().Add(2 * time.Hour))
	if n := logs(); n != 1 {
		t.Errorf("%d logs after it, want that in use", n)
	}
}

// What others on the machine may get at in a directory that was there before is told at start, and what is made here never is.
func TestExposedJournalIsTold(t *testing.T) {
	for _, c := range []struct {
		mode os.FileMode
		told bool
	}{{0o700, false}, {0o777, true}} {
		dir := filepath.Join(t.TempDir(), "journal")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, c.mode); err != nil {
			t.Fatal(err)
		}
		log := make(chan string, 100)
		srv, end := served(t, weir.Options{
			Logger: slog.New(slog.NewTextHandler(lineWriter(log), nil)), Journal: weir.JournalOptions{Path: dir}, Drain: weir.DrainOptions{Timeout: time.Second},
			Namespaces: []weir.NamespaceOptions{{Path: "/feed", Topics: []weir.TopicOptions{{Name: "orders", Overflow: weir.SpillToDisk}}}},
		})
		if left := attach.Tests.FlushLog(srv, time.Minute); left > 0 {
			t.Fatalf("%d lines are not written", left)
		}
		told := false
		for len(log) > 0 {
			line := <-log
			told = told || strings.Contains(line, "others than the server may get at the journal (journal.path)") && strings.Contains(line, "mode=0777")
		}
		if end(); told != c.told {
			t.Errorf("mode %04o: told: %v", c.mode, told)
		}
	}
}

// lineWriter takes lines of a log.
type lineWriter chan string

func (w lineWriter) Write(p []byte) (int, error) {
	w <- string(p)
	return len(p), nil
}

// A log that cannot be opened is its topic's matter: who publishes to it is refused, the log of the server names the topic,
// /readyz and a metric tell that the journal refuses something, and the other topics go on.
func TestLogThatCannotBeOpenedIsItsTopicsMatter(t *testing.T) {
	dir, log := filepath.Join(t.TempDir(), "journal"), make(chan string, 100)
	o := weir.Options{
		Logger: slog.New(slog.NewTextHandler(lineWriter(log), nil)), Journal: weir.JournalOptions{Path: dir}, Drain: weir.DrainOptions{Timeout: time.Second},
		Namespaces: []weir.NamespaceOptions{{Path: "/feed", Topics: []weir.TopicOptions{{Name: "user:*", Mode: weir.AtLeastOnce, Overflow: weir.SpillToDisk}}}},
	}
	srv, end := served(t, o)
	for _, topic := range []string{"user:bad", "user:good"} {
		if _, err := srv.Publish(t.Context(), "/feed", topic, 1); err != nil {
			t.Fatal(err)
		}
	}
	end()
	all, err := journal.Look(vfs.Dir(dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range all {
		if v.Topic != "user:bad" {
			continue
		}
		path := filepath.Join(dir, v.Directory)
		if err := errors.Join(os.RemoveAll(path), os.WriteFile(path, nil, 0o600)); err != nil { // a file where a directory has to be
			t.Fatal(err)
		}
	}
	srv, end = served(t, o)
	defer end()
	if _, err := srv.Publish(t.Context(), "/feed", "user:bad", 2); !errors.Is(err, weir.ErrUnavailable) || !strings.Contains(err.Error(), "user:bad") {
		t.Errorf("publish: %v", err)
	}
	for path, want := range map[string]string{"/readyz": "journal", "/metrics": `weir_journal_trouble{what="failing"} 1`} {
		answer := httptest.NewRecorder()
		srv.Management().ServeHTTP(answer, httptest.NewRequest("GET", "http://127.0.0.1"+path, nil))
		if !strings.Contains(answer.Body.String(), want) {
			_, about, _ := strings.Cut(answer.Body.String(), "weir_journal_trouble")
			t.Errorf("%s: %d, no %s: %.500s", path, answer.Code, want, about)
		}
	}
	if _, err := srv.Publish(t.Context(), "/feed", "user:good", 2); err != nil {
		t.Errorf("publish to another topic: %v", err)
	}
	if left := attach.Tests.FlushLog(srv, time.Minute); left > 0 {
		t.Fatalf("%d lines are not written", left)
	}
	told := false
	for len(log) > 0 {
		line := <-log
		told = told || strings.Contains(line, "level=ERROR") && strings.Contains(line, "topic=user:bad")
	}
	if !told {
		t.Error("no line of the log names the topic")
	}
}
