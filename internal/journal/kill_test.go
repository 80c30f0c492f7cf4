package journal

import (
	"bufio"
	"context"
	"errors"
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
	return Options{FS: vfs.Dir(dir), Fsync: fsync, SegmentBytes: 20_000, indexFrom: 10_000, portionBytes: 700, besideBytes: 300, beside: true, reserveBlock: 300}
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
	l, err := openKilled(j, os.Getenv("WEIR_TEST_PROMPT") != "")
	if err != nil {
		return err
	}
	for n := l.Span().Last; ; n += 10 {
		var under []*topiclog.Later
		for i := range uint64(10) {
			r := &topiclog.Record{Namespace: "/feed", Topic: "ticks", ID: fmt.Sprintf("%d . %d", n, i), Payload: make([]byte, 200)}
			at, later, err := l.Append(r)
			for p, ok := l.(topiclog.Prompt); ok && errors.Is(err, topiclog.ErrFull); at, later, err = l.Append(r) {
				if err := p.Room(context.Background(), r); err != nil {
					return err
				}
			}
			if err != nil {
				return err
			}
			under = append(under, later)
			if at.Offset > 0 { // it is delivered
				_, _ = fmt.Fprintf(os.Stdout, "%d . %d at %d\n", n, i, at.Offset)
			}
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

func openKilled(j *Journal, prompt bool) (topiclog.Log, error) {
	if prompt {
		return j.Prompt("/feed", "ticks", topiclog.Limits{})
	}
	return j.Topic("/feed", "ticks", topiclog.Limits{}, func(topiclog.Placement) {})
}

// A process that publishes is killed, round after round: nothing that it has confirmed is missing, in order, with no offset
// given twice, and nothing is told as lost or damaged. Of a log that places at once what was delivered and is missing is told.
func TestKillWhilePublishing(t *testing.T) {
	for name, prompt := range map[string]bool{"placing late": false, "placing at once": true} {
		t.Run(name, func(t *testing.T) { killAgainAndAgain(t, prompt) })
	}
}

func killAgainAndAgain(t *testing.T, prompt bool) {
	dir := t.TempDir()
	var confirmed []string
	highest := uint64(0)
	for round := range killRounds {
		fsync := Fsync(round % 3) //nolint:gosec // 0 to 2
		if prompt {
			fsync = Interval + Fsync(round%2)*2
		}
		said, lowest, last := killed(t, dir, fsync, prompt, 5+round*17%200)
		if confirmed = append(confirmed, said...); prompt && lowest <= highest {
			t.Errorf("round %d: offset %d is given again, %d was", round, lowest, highest)
		}
		highest = max(highest, last)
		j, err := Open(killOptions(dir, fsync))
		if err != nil {
			t.Fatal(err)
		}
		l, err := openKilled(j, prompt)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		lost, newest := false, uint64(0)
		q := topiclog.Query{Limit: topiclog.Limit{Records: 1000, Bytes: 1 << 20}}
		for {
			answer := make(chan topiclog.Batch, 1)
			l.Read(q, func(b topiclog.Batch) { answer <- b })
			b := <-answer
			for _, e := range b.Placements {
				got, newest = append(got, e.ID), e.Offset
			}
			if b.Err != nil || (b.Lost && !prompt) {
				t.Fatalf("round %d: %v, lost %v", round, b.Err, b.Lost)
			}
			lost = lost || b.Lost
			if q.After = b.Next; b.End() {
				break
			}
		}
		if prompt != lost && newest < l.Span().Last { // else there is no offset that it could have given besides
			t.Errorf("round %d: readers are told that something may be lost: %v", round, lost)
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

// killed has a process publish until it has said so many times that a record was confirmed, and kills it. What it has said that was
// delivered, if it places at once, is from the lowest to the highest of those offsets.
func killed(t *testing.T, dir string, fsync Fsync, prompt bool, lines int) (confirmed []string, lowest, highest uint64) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "WEIR_TEST_PUBLISH="+dir, fmt.Sprintf("WEIR_TEST_FSYNC=%d", fsync))
	if prompt {
		child.Env = append(child.Env, "WEIR_TEST_PROMPT=1")
	}
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	for said := bufio.NewScanner(out); said.Scan(); {
		text := strings.TrimSpace(said.Text())
		if _, at, delivered := strings.Cut(text, " at "); delivered {
			n, err := strconv.ParseUint(at, 10, 64)
			if err != nil {
				break // it was killed while it said so
			}
			if highest = n; lowest == 0 {
				lowest = n
			}
			continue
		}
		confirmed = append(confirmed, text)
		if len(confirmed) == lines {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); err == nil || len(confirmed) < lines {
		t.Fatalf("the process has ended by itself after %d: %v", len(confirmed), err)
	}
	return confirmed, lowest, highest
}
