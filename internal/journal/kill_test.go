package journal

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/leaks"
	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/vfs"
)

// killRounds is how often the process is killed. Raise it to look for what is rare.
const killRounds = 50

// TestMain is also the process that publishes until it is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("WEIR_TEST_PUBLISH"); dir != "" {
		if err := publishForever(dir); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	leaks.Main(m)
}

func killOptions(dir string, fsync Fsync) Options {
	return Options{FS: vfs.Dir(dir), Fsync: fsync, SegmentBytes: 20_000, indexFrom: 10_000, portionBytes: 700, besideBytes: 300, reserveBlock: 300}
}

// publishForever appends, with several under way, and says which were confirmed.
func publishForever(dir string) error {
	fsync, err := strconv.Atoi(os.Getenv("WEIR_TEST_FSYNC"))
	if err != nil {
		return err
	}
	j, err := Open(killOptions(dir, Fsync(fsync))) //nolint:gosec // 0 to 2
	if err != nil {
		return err
	}
	l, err := j.Topic("/feed", "ticks", topiclog.Limits{}, func(topiclog.Placement) {})
	if err != nil {
		return err
	}
	for n := l.Span().Last; ; n += 10 {
		var under []*topiclog.Later
		for i := range uint64(10) {
			_, later, err := l.Append(&topiclog.Record{Namespace: "/feed", Topic: "ticks", ID: fmt.Sprintf("%d . %d", n, i), Payload: make([]byte, 200)})
			if err != nil {
				return err
			}
			under = append(under, later)
		}
		for i, later := range under {
			if _, err := later.Wait(context.Background()); err != nil {
				return err
			}
			if _, err := fmt.Fprintf(os.Stdout, "%d . %d\n", n, i); err != nil {
				return err
			}
		}
	}
}

// A process that publishes is killed, round after round: nothing that it has confirmed is missing, in order, with no offset
// given twice, and nothing is told as lost or damaged.
func TestKillWhilePublishing(t *testing.T) {
	dir := t.TempDir()
	var confirmed []string
	for round := range killRounds {
		fsync := Fsync(round % 3) //nolint:gosec // 0 to 2
		confirmed = append(confirmed, killed(t, dir, fsync, 5+round*17%200)...)
		j, err := Open(killOptions(dir, fsync))
		if err != nil {
			t.Fatal(err)
		}
		l, err := j.Topic("/feed", "ticks", topiclog.Limits{}, func(topiclog.Placement) {})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		q := topiclog.Query{Limit: topiclog.Limit{Records: 1000, Bytes: 1 << 20}}
		for {
			answer := make(chan topiclog.Batch, 1)
			l.Read(q, func(b topiclog.Batch) { answer <- b })
			b := <-answer
			for _, e := range b.Placements {
				got = append(got, e.ID)
			}
			if b.Err != nil || b.Lost {
				t.Fatalf("round %d: %v, lost %v", round, b.Err, b.Lost)
			}
			if q.After = b.Next; b.End() {
				break
			}
		}
		if s := j.Stats(); s.Damaged > 0 {
			t.Errorf("round %d: %+v", round, s)
		}
		rest := got
		for _, id := range confirmed {
			i := slices.Index(rest, id)
			if i < 0 {
				t.Fatalf("round %d: %q was confirmed and is missing of %d", round, id, len(got))
			}
			rest = rest[i+1:]
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killed has a process publish until it has said so many times that a record was confirmed, and kills it.
func killed(t *testing.T, dir string, fsync Fsync, lines int) (confirmed []string) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "WEIR_TEST_PUBLISH="+dir, fmt.Sprintf("WEIR_TEST_FSYNC=%d", fsync))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	for said := bufio.NewScanner(out); said.Scan(); {
		confirmed = append(confirmed, strings.TrimSpace(said.Text()))
		if len(confirmed) == lines {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); err == nil || len(confirmed) < lines {
		t.Fatalf("the process has ended by itself after %d: %v", len(confirmed), err)
	}
	return confirmed
}
