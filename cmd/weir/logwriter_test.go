package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/synctest"
)

// A log that nobody reads holds up nothing; what was lost is said.
func TestLogThatIsNotTakenHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, pipe := io.Pipe()
		w := newLogWriter(pipe, lostText)
		for range logLines + 500 {
			if _, err := w.Write([]byte("line\n")); err != nil {
				t.Fatal(err)
			}
		}
		var got bytes.Buffer
		go func() { _, _ = io.Copy(&got, r) }()
		synctest.Wait()
		w.Flush()
		_ = pipe.Close()
		synctest.Wait()
		taken := strings.Count(got.String(), "line\n")
		if taken < logLines || taken > logLines+1 || !strings.Contains(got.String(), "log lines lost") {
			t.Errorf("%d of %d lines came, and at the end %q", taken, logLines+500, got.String()[max(0, got.Len()-100):])
		}
	})
}

func TestLogThatIsNeverTakenDoesNotHoldUpTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, pipe := io.Pipe()
		w := newLogWriter(pipe, lostJSON)
		_, _ = w.Write([]byte("line\n"))
		w.Flush() // returns, in the bubble's time after a second
		_ = r.Close()
	})
}

// disk takes some bytes, then none until there is room.
type disk struct {
	bytes.Buffer
	room int
}

func (d *disk) Write(p []byte) (int, error) {
	n := min(len(p), d.room)
	d.room -= n
	d.Buffer.Write(p[:n])
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

// What a full disk has refused is counted when it has room again, and a line cut short spoils only itself.
func TestLinesThatADiskRefusesAreCountedOnceItHasRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{room: 8}
		w := newLogWriter(d, lostText)
		write := func(line string) {
			_, _ = w.Write([]byte(line))
			w.Flush()
		}
		write("one\n")
		write("two is longer\n")
		write("three\n")
		d.room = 10_000
		write("four\n")
		want := "one\ntwo \nfour\n" + string(lostText(2))
		if d.String() != want {
			t.Errorf("written:\n%q, want:\n%q", d.String(), want)
		}
	})
}

// A goroutine that the server does not wait for, such as a signal's, may log when the end has come.
func TestLineAfterTheEndIsNoPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		w := newLogWriter(&out, lostText)
		w.Flush()
		_, _ = w.Write([]byte("late\n"))
		w.Flush()
		if out.String() != "late\n" {
			t.Errorf("written: %q", out.String())
		}
	})
}

func TestLargeLogLinesAreBoundedByBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, pipe := io.Pipe()
		w := newLogWriter(pipe, lostText)
		line := bytes.Repeat([]byte("x"), 1<<20)
		for range 20 {
			_, _ = w.Write(line)
		}
		if n := w.lost.Load(); n != 4 {
			t.Errorf("of 20 lines of 1 MiB %d were lost, want 4", n)
		}
		_ = r.Close()
		synctest.Wait()
	})
}
