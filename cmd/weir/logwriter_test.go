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
		w.Close()
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
		w.Close() // returns, in the bubble's time after a second
		_ = r.Close()
	})
}
