package args_test

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamweir/weir/internal/args"
	"github.com/streamweir/weir/internal/wire/sio"
)

type (
	point struct {
		X, Y int32
		Name string `json:"name,omitempty"`
	}
	word  string
	event struct {
		N    int64   `json:"n"`
		T    uint16  `json:"t"`
		F    float32 `json:"f"`
		Done bool
		Pad  word `json:"pad"`
		At   point
		not  string //nolint:unused // unexported: JSON does not know it
		Skip int    `json:"-"`
	}
	mixed struct {
		A  int
		B  string
		C  float64
		D  bool
		E  []point
		M  map[string]int `json:"m"`
		On time.Time      `json:"on"`
		P  *point
	}
	manyForeign struct {
		A []int
		B map[string]any
		C int
	}
	quoted struct {
		A int `json:",string"`
		B int
	}
	embedding struct {
		point
		B int
	}
	letters struct {
		ABC int
		Abc int `json:"abc"`
		ÄB  int
		S   string `json:"s.t"`
	}
	numbers struct {
		A json.Number
		B int8
		C uint64
		D float64
	}
	counts struct {
		A     int
		B     string
		Calls calls
	}
)

// twice has two fields of one name, which vet refuses in the source.
var twice = reflect.StructOf([]reflect.StructField{
	{Name: "A", Type: reflect.TypeFor[int](), Tag: `json:"a"`}, {Name: "B", Type: reflect.TypeFor[int](), Tag: `json:"a"`},
	{Name: "C", Type: reflect.TypeFor[string]()},
})

// calls counts how often it is decoded.
type calls int

func (c *calls) UnmarshalJSON(b []byte) error {
	*c++
	if strings.Contains(string(b), "bad") {
		return errors.New("as planned")
	}
	return nil
}

// targets are a fresh pointer of each kind, with something in it already.
func targets() []any {
	return []any{
		&event{Pad: "old", T: 7}, &mixed{B: "old", M: map[string]int{"old": 1}, P: &point{X: 1}}, &manyForeign{C: 9}, &quoted{B: 1}, &embedding{B: 2},
		reflect.New(twice).Interface(), &letters{Abc: 1}, &numbers{B: 3}, &counts{A: 1}, &point{X: 1}, new(word), new(int8), new(uint), new(float64), new(bool), new(any), new([]point),
		new(map[string]point), new(*event), new(time.Time), new(calls), new(json.RawMessage),
	}
}

// alike checks that an argument is decoded as encoding/json does, in the error, and in what is left behind unless code of the
// application has failed.
func alike(t *testing.T, arg string) {
	t.Helper()
	if sio.CheckJSON([]byte(arg)) != nil {
		return // no argument
	}
	got, want := targets(), targets()
	for i := range got {
		a := args.New([]byte(`["name" , `+arg+` ]`), 1, nil)
		err, reference := a.Decode(got[i]), json.Unmarshal([]byte(arg), want[i])
		var wrong, right *json.UnmarshalTypeError
		switch {
		case (err != nil) != (reference != nil):
			t.Errorf("%s as %T: %v, want %v", arg, got[i], err, reference)
		case errors.As(reference, &right):
			if !errors.As(err, &wrong) || wrong.Field != right.Field || wrong.Type != right.Type || wrong.Value != right.Value {
				t.Errorf("%s as %T: %v, want %v", arg, got[i], err, reference)
			}
		case reference != nil:
			continue
		}
		if diff := cmp.Diff(want[i], got[i], cmp.AllowUnexported(event{}, embedding{})); diff != "" {
			t.Errorf("%s as %T: %s", arg, got[i], diff)
		}
	}
}

var decodable = []string{
	`{}`, `{ }`, `null`, `{"n":1,"t":2,"f":1.5,"Done":true,"pad":"x","At":{"X":1,"Y":-2,"name":"é"}}`,
	` {"pad" : "y" , "n":-9223372036854775808,"extra":{"a":[1,2,{"b":"}"}]},"f":-0,"done":true}`,
	`{"N":5,"PAD":"folded","at":{"x":3}}`, `{"n":1,"n":2,"At":{"X":1},"At":{"Y":2}}`, `{"n":1.0}`, `{"n":1e2}`, `{"n":"1"}`, `{"t":65536}`,
	`{"t":-1}`, `{"f":1e39}`, `{"f":1e-50}`, `{"pad":"\u00e9\n\"\\"}`, `{"pad":"\ud800"}`, `{"pad":5}`, `{"pad":null,"n":null,"At":null,"Done":null}`,
	`{"At":[1]}`, `{"At":{"X":"no"}}`, `{"n":9223372036854775808}`, `{"Skip":4,"not":"x"}`, `{"\u006e":7}`, `{"n\"":7,"é":1,"":2}`,
	`{"A":1,"B":"b","C":1.25,"D":false,"E":[{"X":1},{"Y":2}],"m":{"k":1},"on":"2026-11-30T00:00:00Z","P":{"name":"p"}}`,
	`{"A":1,"E":[{"X":"no"}],"m":{"k":2}}`, `{"E":null,"m":null,"P":null,"on":null}`, `{"on":"never","A":5,"m":{"z":1}}`, `{"E":5,"m":[1],"A":3}`,
	`{"P":{"X":1.5},"m":{"k":"v"}}`, `{"A":"5","B":6}`, `{"a":1,"b":2,"C":"c"}`, `{"ABC":1,"abc":2,"Abc":3,"äb":4,"s.t":"u"}`,
	`{"A":12,"B":128,"C":18446744073709551615,"D":1e308}`, `{"A":"12","B":-128}`, `{"A":1,"Calls":"good","B":"b"}`, `{"Calls":"bad","A":2,"B":"b"}`,
	`{"A":"no","Calls":1}`, `{"Calls":1,"A":"no","Calls":2}`, `{"Calls":1,"unknown":[],"calls":2}`, `1`, `-1`, `0`, `300`, `1.5`, `true`, `false`, `"s"`,
	`"\t"`, `[]`, `[1]`, `[{"X":1}]`, `{"k":{"X":1}}`, `-0`, `1e400`, `"2026-11-30T00:00:00Z"`,
}

func TestDecodeIsThatOfEncodingJSON(t *testing.T) {
	for _, arg := range decodable {
		alike(t, arg)
	}
}

// The same for arguments made of parts that are likely to meet.
func TestDecodeOfAnyJSONIsThatOfEncodingJSON(t *testing.T) {
	names := []string{"n", "N", "t", "f", "Done", "pad", "At", "X", "Y", "name", "A", "B", "C", "D", "E", "m", "on", "P", "Calls", "abc", "unknown", `\u006e`}
	scalars := []string{"0", "-1", "70000", "1.5", "1e3", "true", "false", "null", `""`, `"text"`, `"\n"`, `"2026-11-30T00:00:00Z"`, "12345678901234567890"}
	var value func(depth int) string
	value = func(depth int) string {
		var parts []string
		switch n := rand.IntN(5); {
		case depth == 0 || n < 2:
			return scalars[rand.IntN(len(scalars))]
		case n == 2:
			for range rand.IntN(3) {
				parts = append(parts, value(depth-1))
			}
			return "[" + strings.Join(parts, ", ") + "]"
		}
		for range rand.IntN(7) {
			parts = append(parts, `"`+names[rand.IntN(len(names))]+`": `+value(depth-1))
		}
		return "{" + strings.Join(parts, " ,") + "}"
	}
	for range 1000 {
		alike(t, value(3))
	}
}

func FuzzDecode(f *testing.F) {
	for _, arg := range decodable {
		f.Add(arg)
	}
	f.Fuzz(alike)
}

// Arguments are decoded in order, whatever is decoded into and how.
func TestDecodeOfSeveralArguments(t *testing.T) {
	a := args.New([]byte(`["name", {"n":1} ,2,[3], "four",{"n":5}]`), 1, nil)
	var first, last event
	var two int
	var three []int
	if err := a.Decode(&first, &two, &three, nil, &last); err != nil || first.N != 1 || two != 2 || !cmp.Equal(three, []int{3}) || last.N != 5 {
		t.Errorf("%v %v %v %v: %v", first, two, three, last, err)
	}
	for _, into := range []any{5, event{}, (*event)(nil)} {
		if err := a.Decode(into); err == nil {
			t.Errorf("decoded into %T", into)
		}
	}
	err := a.Decode(&first, &two, &two)
	if err == nil || !strings.Contains(err.Error(), "argument 2") {
		t.Errorf("%v", err)
	}
}

func BenchmarkDecode(b *testing.B) {
	var e struct {
		N   int64  `json:"n"`
		T   int64  `json:"t"`
		Pad string `json:"pad"`
	}
	a := args.New([]byte(`["event",{"n":12345,"t":123456789012,"pad":"`+strings.Repeat("x", 85)+`"}]`), 1, nil)
	b.ReportAllocs()
	for b.Loop() {
		if err := a.Decode(&e); err != nil {
			b.Fatal(err)
		}
	}
}
