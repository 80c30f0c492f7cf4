package report_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/streamweir/weir/internal/loadtest/report"
)

func TestTextOfARun(t *testing.T) {
	got := written(t, func(b *bytes.Buffer) error { return fanout().WriteText(b) })
	golden(t, "fanout.txt", got, unmasked)
}

func TestTextOfAnInterruptedRunSaysSo(t *testing.T) {
	got := written(t, func(b *bytes.Buffer) error { return fanoutOfNpm().WriteText(b) })
	golden(t, "npm.txt", got, unmasked)
}

func TestTextOfTwoRunsHasTheRatios(t *testing.T) {
	got := written(t, func(b *bytes.Buffer) error { return report.WriteComparison(b, fanout(), fanoutOfNpm()) })
	golden(t, "comparison.txt", got, unmasked)
}

func TestTextOfAnEmptyRun(t *testing.T) {
	got := written(t, func(b *bytes.Buffer) error { return new(report.Run).WriteText(b) })
	if string(got) != "0s\n" {
		t.Errorf("got %q", got)
	}
}

// hostile is a run whose every text tries to break out of its form, and is long.
func hostile() *report.Run {
	evil := "</script><img src=x onerror=alert(1)>\x1b[2J\u202e" + `"'&<!--` + "\xff\n" + strings.Repeat("long", 60)
	r := fanout()
	r.Scenario, r.Title, r.Label, r.Target = evil, evil, evil, evil
	r.Machine.CPU, r.Machine.Kernel = evil, evil
	r.Settings = []report.Setting{{Name: evil, Value: evil}}
	r.Counts = []report.Count{{Name: evil, Value: -1234567}}
	r.Verdicts = []report.Verdict{{OK: false, Text: evil}}
	for i := range r.Figures {
		r.Figures[i].Name, r.Figures[i].Unit, r.Figures[i].Note = evil, evil, evil
	}
	for i := range r.Latencies {
		r.Latencies[i].Name = evil
	}
	for i := range r.Series {
		r.Series[i].Name, r.Series[i].Chart = evil, evil
	}
	return r
}

func TestTextIsAtMostAHundredColumnsAndHasNoControlCharacters(t *testing.T) {
	for name, write := range map[string]func(*bytes.Buffer) error{
		"one":         func(b *bytes.Buffer) error { return fanout().WriteText(b) },
		"one hostile": func(b *bytes.Buffer) error { return hostile().WriteText(b) },
		"several":     func(b *bytes.Buffer) error { return report.WriteComparison(b, fanout(), hostile(), fanoutOfNpm()) },
	} {
		for line := range strings.Lines(string(written(t, write))) {
			line = strings.TrimSuffix(line, "\n")
			if n := utf8.RuneCountInString(line); n > 100 {
				t.Errorf("%s: a line of %d columns: %q", name, n, line)
			}
			if !utf8.ValidString(line) || strings.ContainsAny(line, "\x1b\u202e\t\r") {
				t.Errorf("%s: a line with what moves a terminal: %q", name, line)
			}
		}
	}
}

func TestNothingOfALongNameOfACountIsLost(t *testing.T) {
	name := "connect_error: " + strings.Repeat("because ", 40) + "END"
	r := &report.Run{Counts: []report.Count{{Name: name, Value: 7}}}
	got := string(written(t, func(b *bytes.Buffer) error { return r.WriteText(b) }))
	if joined := strings.Join(strings.Fields(got), " "); !strings.Contains(joined, strings.TrimSpace(name)) {
		t.Errorf("%q is not in:\n%s", name, got)
	}
}

func TestHeadlineNamesTheScenarioOnce(t *testing.T) {
	for title, want := range map[string]string{"10 clients": "slow: 10 clients", "slow: 10 clients": "slow: 10 clients", "": "slow"} {
		r := &report.Run{Scenario: "slow", Title: title, Seconds: 0.0412}
		if got := string(written(t, func(b *bytes.Buffer) error { return r.WriteText(b) })); got != want+"\n41ms\n" {
			t.Errorf("title %q: %q, want %q and 41ms", title, got, want)
		}
	}
}

func TestARunIsGoodIfEveryVerdictIs(t *testing.T) {
	if !fanout().OK() || fanoutOfNpm().OK() || !new(report.Run).OK() {
		t.Error("want the first and an empty run good, the second not")
	}
}
