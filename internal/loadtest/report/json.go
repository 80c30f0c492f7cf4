package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// format is the version of the JSON form. A field may be added under the same number; one that is taken away or means
// something else is a new number.
const format = 1

// document is the JSON form of a Run, its fields in the order in which they are written.
type document struct {
	Format      int               `json:"format"`
	Scenario    string            `json:"scenario"`
	Title       string            `json:"title"`
	Started     time.Time         `json:"started"`
	Seconds     float64           `json:"seconds"`
	Interrupted bool              `json:"interrupted"`
	Target      string            `json:"target"`
	Machine     Machine           `json:"machine"`
	Settings    []Setting         `json:"settings"`
	Figures     []figureDocument  `json:"figures"`
	Latencies   []latencyDocument `json:"latencies"`
	Counts      []Count           `json:"counts"`
	Verdicts    []Verdict         `json:"verdicts"`
	Series      []seriesDocument  `json:"series"`
}

type figureDocument struct {
	Name  string `json:"name"`
	Value value  `json:"value"`
	Unit  string `json:"unit"`
	Note  string `json:"note,omitempty"`
	Main  bool   `json:"main,omitempty"`
}

// latencyDocument says everything twice: as milliseconds for whoever reads the file, and as a histogram, the only one
// that is read back.
type latencyDocument struct {
	Name      string  `json:"name"`
	Count     int64   `json:"count"`
	MeanMs    float64 `json:"meanMs"`
	P50Ms     float64 `json:"p50Ms"`
	P90Ms     float64 `json:"p90Ms"`
	P99Ms     float64 `json:"p99Ms"`
	P999Ms    float64 `json:"p999Ms"`
	MaxMs     float64 `json:"maxMs"`
	Histogram string  `json:"histogram"` // microseconds; HdrHistogram's V2 compressed encoding in base64; "" is empty
}

type seriesDocument struct {
	Name   string     `json:"name"`
	Unit   string     `json:"unit"`
	Chart  string     `json:"chart"`
	Points [][2]value `json:"points"`
}

// value is a number that may be missing: JSON has neither NaN nor infinity, so they are null.
type value float64

func (v value) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(v))
}

func (v *value) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*v = value(math.NaN())
		return nil
	}
	return json.Unmarshal(b, (*float64)(v))
}

// WriteJSON writes the run as one JSON object, a line for each field and each element of a list, so that two files
// can be compared with diff. A value that could not be measured is null.
func (r *Run) WriteJSON(w io.Writer) error {
	d, err := r.document()
	if err != nil {
		return err
	}
	compact, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("write run %q as JSON: %w", r.name(), err)
	}
	_, err = w.Write(append(breakLines(compact), '\n'))
	return err
}

func (r *Run) document() (document, error) {
	d := document{
		Format: format, Scenario: r.Scenario, Title: r.Title, Started: r.Started.UTC(), Seconds: r.Seconds,
		Interrupted: r.Interrupted, Target: r.Target, Machine: r.Machine, Settings: orEmpty(r.Settings),
		Figures: []figureDocument{}, Latencies: []latencyDocument{}, Counts: orEmpty(r.Counts),
		Verdicts: orEmpty(r.Verdicts), Series: []seriesDocument{},
	}
	for _, f := range r.Figures {
		d.Figures = append(d.Figures, figureDocument{f.Name, value(f.Value), f.Unit, f.Note, f.Main})
	}
	for _, l := range r.Latencies {
		ld, err := l.document()
		if err != nil {
			return d, err
		}
		d.Latencies = append(d.Latencies, ld)
	}
	for _, s := range r.Series {
		sd := seriesDocument{s.Name, s.Unit, s.Chart, make([][2]value, len(s.Points))}
		for i, p := range s.Points {
			sd.Points[i] = [2]value{value(p[0]), value(p[1])}
		}
		d.Series = append(d.Series, sd)
	}
	return d, nil
}

// orEmpty makes an absent list an empty one: readers of the JSON need not know of null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (l Latency) document() (latencyDocument, error) {
	d := latencyDocument{Name: l.Name}
	if l.count() == 0 {
		return d, nil
	}
	encoded, err := l.Histogram.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return d, fmt.Errorf("encode histogram %q: %w", l.Name, err)
	}
	d.Count, d.Histogram = l.count(), string(encoded)
	d.MeanMs, d.P50Ms, d.P90Ms = l.mean(), l.at(50), l.at(90)
	d.P99Ms, d.P999Ms, d.MaxMs = l.at(99), l.at(99.9), l.max()
	return d, nil
}

// breakLines sets compact JSON on lines of its own down to the second level: fields, and elements of lists.
func breakLines(compact []byte) []byte {
	const levels = 2
	out := make([]byte, 0, len(compact)+len(compact)/16)
	depth, quoted := 0, false
	for i, b := range compact {
		switch {
		case b == '"' && !escaped(compact[:i]):
			quoted = !quoted
		case quoted:
		case b == '{', b == '[':
			depth++
		case b == '}', b == ']':
			if depth <= levels && compact[i-1] != '{' && compact[i-1] != '[' {
				out = newLine(out, depth-1)
			}
			depth--
		}
		out = append(out, b)
		if quoted || depth > levels {
			continue
		}
		opened := (b == '{' || b == '[') && compact[i+1] != '}' && compact[i+1] != ']'
		if opened || b == ',' {
			out = newLine(out, depth)
		}
	}
	return out
}

func newLine(dst []byte, depth int) []byte {
	return append(append(dst, '\n'), bytes.Repeat([]byte("  "), depth)...)
}

// escaped reports whether what follows before is escaped by a backslash.
func escaped(before []byte) bool {
	return (len(before)-len(bytes.TrimRight(before, `\`)))%2 == 1
}

// ReadJSON reads what WriteJSON wrote, and refuses what is something else or of another format. Fields it does not
// know are of a newer Weir and are left out.
func ReadJSON(r io.Reader) (*Run, error) {
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read the report: %w", err)
	}
	if err := checkFormat(raw); err != nil {
		return nil, err
	}
	var d document
	if err := json.Unmarshal(raw, &d); err != nil {
		return nil, fmt.Errorf("read the report: %w", err)
	}
	return d.run()
}

// checkFormat looks at the format alone: in another one, nothing else means what it seems to.
func checkFormat(raw []byte) error {
	var head struct {
		Format json.RawMessage `json:"format"`
	}
	var shape *json.UnmarshalTypeError
	switch err := json.Unmarshal(raw, &head); {
	case errors.As(err, &shape):
		return fmt.Errorf("this is JSON, but not a report of weir bench: want an object, found %s", shape.Value)
	case err != nil:
		return fmt.Errorf("this is not a report of weir bench --json: %w", err)
	case head.Format == nil:
		return errors.New(`this is JSON, but not a report of weir bench: it has no "format"`)
	case string(head.Format) != fmt.Sprint(format):
		return fmt.Errorf("this is a report of format %.20s, and this weir (see weir version) reads format %d only: "+
			"use the weir that wrote it, or run the scenario again", head.Format, format)
	}
	return nil
}

func (d document) run() (*Run, error) {
	r := &Run{
		Scenario: d.Scenario, Title: d.Title, Started: d.Started, Seconds: d.Seconds, Interrupted: d.Interrupted,
		Target: d.Target, Machine: d.Machine, Settings: d.Settings, Counts: d.Counts, Verdicts: d.Verdicts,
	}
	for _, f := range d.Figures {
		r.Figures = append(r.Figures, Figure{f.Name, float64(f.Value), f.Unit, f.Note, f.Main})
	}
	for _, l := range d.Latencies {
		h, err := decodeHistogram(l.Histogram)
		if err != nil {
			return nil, fmt.Errorf("decode histogram %q: %w", l.Name, err)
		}
		r.Latencies = append(r.Latencies, Latency{l.Name, h})
	}
	for _, s := range d.Series {
		points := make([][2]float64, len(s.Points))
		for i, p := range s.Points {
			points[i] = [2]float64{float64(p[0]), float64(p[1])}
		}
		r.Series = append(r.Series, Series{s.Name, s.Unit, s.Chart, points})
	}
	return r, nil
}

func decodeHistogram(text string) (*hdrhistogram.Histogram, error) {
	if text == "" {
		return nil, nil
	}
	return hdrhistogram.Decode([]byte(text))
}
