package doctor_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamweir/weir/cmd/weir/internal/doctor"
)

func TestReportIsWorstFirstAndFailsOnlyByWhatBreaks(t *testing.T) {
	bare, n := files{}.machine(), needs(10) // nothing can be read
	n.NotSentLowat = 0
	r := doctor.Examine(t.Context(), bare, n, nil)
	if r.Failed() {
		t.Errorf("what is not known has failed: %v", r.Findings)
	}
	for _, f := range r.Findings {
		complete(t, f)
		if f.Level != doctor.Unknown && f.Name != "clock" && f.Name != "journal" && f.Name != "journal speed" && f.Name != "certificates" && f.Name != "broker" {
			t.Errorf("%s is %v without anything to read", f.Name, f.Level)
		}
	}
	r = doctor.Examine(t.Context(), stock().with(files{"proc/sys/fs/file-nr": gone}).machine(), needs(5000), nil)
	if !r.Failed() {
		t.Error("5,000 connections with 4,096 descriptors have not failed")
	}
	if !slices.IsSortedFunc(r.Findings, func(a, b doctor.Finding) int { return int(a.Level) - int(b.Level) }) {
		t.Errorf("not worst first: %v", r.Findings)
	}
}

func TestOtherSystemsAreUnknown(t *testing.T) {
	m := files{}.machine()
	m.System = "plan9"
	r := doctor.Examine(t.Context(), m, needs(10), nil)
	if f := find(t, r, "machine"); f.Level != doctor.Unknown || len(r.Findings) != 2 || r.Failed() {
		t.Errorf("%+v", r.Findings)
	}
}

func TestReportReadsBackFromJSON(t *testing.T) {
	want := doctor.Examine(t.Context(), stock().machine(), needs(5000), nil)
	var b bytes.Buffer
	if err := want.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), `"level": "fail"`) {
		t.Errorf("levels are not words: %s", &b)
	}
	var got doctor.Report
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(*want, got); diff != "" {
		t.Error(diff)
	}
	var level doctor.Level
	if err := level.UnmarshalText([]byte("fine")); err == nil {
		t.Error("fine is a level")
	}
}

func TestReportAsText(t *testing.T) {
	r := &doctor.Report{Connections: 10000, Assumed: true, Findings: []doctor.Finding{
		{Name: "descriptors", Level: doctor.Fail, Found: "hard 1,024", Wanted: "10,064 or more", Fix: "ulimit -n 10064",
			Why: "Each connection is a descriptor, and 64 are for the server itself. Beyond the limit no client gets in, whoever it is."},
		{Name: "clock source", Level: doctor.Unknown, Found: "sundial", Wanted: "tsc", Why: "Time is asked for."},
		{Name: "swap", Level: doctor.OK, Found: "none", Wanted: "none", Why: "It is slow."},
	}}
	const problems = `fail     descriptors   hard 1,024
         wanted  10,064 or more
         why     Each connection is a descriptor, and 64 are for the server itself. Beyond the limit no client
                 gets in, whoever it is.
         fix     ulimit -n 10064
unknown  clock source  sundial
         wanted  tsc
         why     Time is asked for.
ok       swap          none
`
	const explained = `         wanted  none
         why     It is slow.
`
	const sum = `
For 10,000 connections: 1 will break, 0 could be better, 1 unknown, 1 good. Nobody said how many connections there will be: --connections N does.
`
	for detail, want := range map[doctor.Detail]string{doctor.Bad: problems + sum, doctor.Everything: problems + explained + sum} {
		var b strings.Builder
		if err := r.WriteText(&b, detail); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, b.String()); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}
