package report_test

import (
	"bytes"
	"encoding/json"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/streamweir/weir/internal/loadtest/report"
)

// withoutHistograms hides the compressed histograms: their bytes are the Go release's choice.
func withoutHistograms(b []byte) []byte {
	return regexp.MustCompile(`"histogram":"[^"]+"`).ReplaceAll(b, []byte(`"histogram":"…"`))
}

func encoded(t *testing.T, r *report.Run) []byte {
	t.Helper()
	return written(t, func(b *bytes.Buffer) error { return r.WriteJSON(b) })
}

// sameRun compares all but the label, which is not kept, and holds NaN equal to NaN.
var sameRun = cmp.Options{
	cmpopts.EquateNaNs(),
	cmpopts.EquateEmpty(),
	cmpopts.IgnoreFields(report.Run{}, "Label"),
	cmp.Comparer(func(a, b *hdrhistogram.Histogram) bool {
		return (a == nil) == (b == nil) && (a == nil || a.Equals(b))
	}),
}

func TestJSONOfARun(t *testing.T) {
	golden(t, "fanout.json", encoded(t, fanout()), withoutHistograms)
	golden(t, "npm.json", encoded(t, fanoutOfNpm()), withoutHistograms)
}

func TestJSONIsReadBackAsItWas(t *testing.T) {
	for name, run := range map[string]*report.Run{"good": fanout(), "interrupted": fanoutOfNpm(), "empty": {}} {
		raw := encoded(t, run)
		got, err := report.ReadJSON(bytes.NewReader(raw))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(run, got, sameRun); diff != "" {
			t.Errorf("%s (-written +read):\n%s", name, diff)
		}
		if again := encoded(t, got); !bytes.Equal(again, raw) {
			t.Errorf("%s: written again it differs:\n%s", name, cmp.Diff(string(raw), string(again)))
		}
	}
}

func TestJSONOfHostileTextIsJSON(t *testing.T) {
	raw := encoded(t, hostile())
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		t.Fatal(err)
	}
	got, err := report.ReadJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.ToValidUTF8(hostile().Title, "\ufffd"); got.Title != want {
		t.Errorf("title %q, want %q", got.Title, want)
	}
}

func TestJSONHasNullForWhatCouldNotBeMeasured(t *testing.T) {
	r := &report.Run{
		Figures: []report.Figure{{Name: "ratio", Value: math.Inf(1)}},
		Series:  []report.Series{{Name: "p99", Points: [][2]float64{{1, math.NaN()}}}},
	}
	raw := string(encoded(t, r))
	for _, want := range []string{`"value":null`, `"points":[[1,null]]`} {
		if !strings.Contains(raw, want) {
			t.Errorf("%s is not in:\n%s", want, raw)
		}
	}
}

func TestReadJSONRefusesWhatIsNoReportOfItsFormat(t *testing.T) {
	for input, want := range map[string]string{
		`{"format":2,"scenario":7}`: "format 2",
		`{"format":"1"}`:            `format "1"`,
		`{"scenario":"fanout"}`:     `has no "format"`,
		`[1,2]`:                     "not a report of weir bench: want an object, found array",
		`weir bench: fanout`:        "not a report of weir bench --json",
		``:                          "not a report of weir bench --json",
		`{"format":1} {"format":1}`: "not a report of weir bench --json",
		`{"format":1,"latencies":[{"name":"connect","histogram":"AAAA"}]}`: `decode histogram "connect"`,
		`{"format":1,"seconds":"long"}`:                                    "seconds",
	} {
		if _, err := report.ReadJSON(strings.NewReader(input)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", input, err, want)
		}
	}
}

func TestReadJSONLeavesOutFieldsOfANewerWeir(t *testing.T) {
	r, err := report.ReadJSON(strings.NewReader(`{"format":1,"title":"new","colour":"blue"}`))
	if err != nil || r.Title != "new" {
		t.Errorf("got %+v, %v", r, err)
	}
}

func FuzzReadJSON(f *testing.F) {
	h := hdrhistogram.New(1, 1000, 1)
	_ = h.RecordValue(7) // in range
	small := &report.Run{
		Scenario: "fanout", Machine: report.Machine{Cores: 2},
		Figures: []report.Figure{{Name: "rate", Value: 1, Unit: "B/s", Main: true}}, Latencies: []report.Latency{{Name: "l", Histogram: h}},
		Series: []report.Series{{Name: "p50", Unit: "ms", Points: [][2]float64{{1, 2}}}}, Verdicts: []report.Verdict{{OK: true, Text: "good"}},
	}
	var b bytes.Buffer
	if err := small.WriteJSON(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := report.ReadJSON(bytes.NewReader(raw))
		if err != nil {
			return
		}
		again, err := report.ReadJSON(bytes.NewReader(encoded(t, r)))
		if err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		if diff := cmp.Diff(r, again, sameRun); diff != "" {
			t.Fatalf("(-read +again):\n%s", diff)
		}
		for _, write := range []func(*bytes.Buffer) error{
			func(b *bytes.Buffer) error { return r.WriteText(b) },
			func(b *bytes.Buffer) error { return report.WriteHTML(b, r, again) },
		} {
			written(t, write)
		}
	})
}
