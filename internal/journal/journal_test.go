package journal_test

import (
	"os"
	"testing"

	"github.com/streamweir/weir/internal/journal"
	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/topiclog/logtest"
	"github.com/streamweir/weir/internal/vfs"
	"github.com/streamweir/weir/internal/vfs/memfs"
)

// The suite of every keeper, in memory under each policy, and once on the file system there is.
func TestJournalIsALog(t *testing.T) {
	for name, fsync := range map[string]journal.Fsync{"always": journal.Always, "interval": journal.Interval, "never": journal.Never} {
		t.Run(name, func(t *testing.T) {
			runSuite(t, func() vfs.FS { return memfs.New() }, journal.Options{Fsync: fsync})
		})
	}
	t.Run("without a tail", func(t *testing.T) {
		runSuite(t, func() vfs.FS { return memfs.New() }, journal.Options{TailBytes: -1})
	})
	t.Run("on disk", func(t *testing.T) {
		runSuite(t, func() vfs.FS { return vfs.Dir(fastDir(t)) }, journal.Options{Fsync: journal.Never})
	})
}

// The same of a log that places at once.
func TestPromptJournalIsALog(t *testing.T) {
	for name, tail := range map[string]int{"with a tail": 0, "without": -1} {
		t.Run(name, func(t *testing.T) {
			runSuiteAs(t, func() vfs.FS { return memfs.New() }, journal.Options{TailBytes: tail}, func(t testing.TB, j *journal.Journal, l topiclog.Limits, _ topiclog.Deliver) topiclog.Log {
				return openPrompt(t, j, l)
			})
		})
	}
}

func openPrompt(t testing.TB, j *journal.Journal, l topiclog.Limits) journal.Prompt {
	t.Helper()
	log, err := j.Prompt("/feed", "ticks", l)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func runSuite(t *testing.T, fsys func() vfs.FS, o journal.Options) {
	runSuiteAs(t, fsys, o, func(t testing.TB, j *journal.Journal, l topiclog.Limits, deliver topiclog.Deliver) topiclog.Log {
		return openTopic(t, j, l, deliver)
	})
}

func runSuiteAs(t *testing.T, fsys func() vfs.FS, o journal.Options, open func(testing.TB, *journal.Journal, topiclog.Limits, topiclog.Deliver) topiclog.Log) {
	var journals []*journal.Journal
	logtest.Run(t, logtest.Keeper{
		Open: func(t testing.TB, l topiclog.Limits, deliver topiclog.Deliver) topiclog.Log {
			o.FS = fsys()
			j := openJournal(t, o)
			journals = append(journals, j)
			return open(t, j, l, deliver)
		},
		Renumber: func(t testing.TB, was topiclog.Log, deliver topiclog.Deliver) topiclog.Log {
			was.Close()
			j := journals[len(journals)-1]
			if err := j.Remove("/feed", "ticks"); err != nil {
				t.Fatal(err)
			}
			return open(t, j, topiclog.Limits{}, deliver)
		},
	})
}

func openJournal(t testing.TB, o journal.Options) *journal.Journal {
	t.Helper()
	j, err := journal.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Errorf("close the journal: %v", err)
		}
	})
	return j
}

func openTopic(t testing.TB, j *journal.Journal, l topiclog.Limits, deliver topiclog.Deliver) *journal.Log {
	t.Helper()
	log, err := j.Topic("/feed", "ticks", l, deliver)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// fastDir is a directory in memory if there is such a file system: the suite makes thousands of segments, each synced.
func fastDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "weir-journal-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
