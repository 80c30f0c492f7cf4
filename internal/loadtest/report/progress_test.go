package report_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/loadtest/report"
)

func TestProgressInALogIsALineEveryFiveSecondsAndTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		p := report.NewProgress(&log)
		for i := range 13 { // 0 s to 12 s
			p.Show(fmt.Sprintf("second %d", i))
			time.Sleep(time.Second)
		}
		p.Done()
		if want := "second 0\nsecond 5\nsecond 10\nsecond 12\n"; log.String() != want {
			t.Errorf("got %q, want %q", log.String(), want)
		}
	})
}

func TestProgressOnATerminalIsOneLineThatGoes(t *testing.T) {
	var screen strings.Builder
	p := report.NewTerminalProgress(&screen)
	p.Show("first")
	p.Show("second\r\n" + strings.Repeat("x", 200))
	p.Done()
	p.Done()
	want := "\r\x1b[Kfirst\r\x1b[Ksecond  " + strings.Repeat("x", 70) + "…\r\x1b[K"
	if screen.String() != want {
		t.Errorf("got %q, want %q", screen.String(), want)
	}
}

func TestProgressThatShowedNothingWritesNothing(t *testing.T) {
	var log, screen strings.Builder
	report.NewProgress(&log).Done()
	report.NewTerminalProgress(&screen).Done()
	if log.Len()+screen.Len() != 0 {
		t.Errorf("got %q and %q", log.String(), screen.String())
	}
}
