package args_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/streamweir/weir/internal/args"
)

type nested struct{ depth int }

func (n nested) MarshalJSON() ([]byte, error) {
	if n.depth == 0 {
		return []byte(`"end"`), nil
	}
	return args.Marshal(map[string]any{"d": nested{n.depth - 1}})
}

type panics struct{}

func (panics) MarshalJSON() ([]byte, error) { panic("as planned") }

type exits struct{}

func (exits) MarshalJSON() ([]byte, error) { runtime.Goexit(); return nil, nil }

type fails struct{}

func (fails) MarshalJSON() ([]byte, error) { return nil, errors.New("as planned") }

type broken struct{}

func (broken) MarshalJSON() ([]byte, error) { return []byte(`{"a":`), nil }

// What Marshal has returned never changes, whatever is marshalled meanwhile and however that ends.
func TestMarshalSharesNothing(t *testing.T) {
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			type kept struct {
				got  []byte
				want string
			}
			var keep []kept
			for i := range 3000 {
				var v any
				want := ""
				switch rand.IntN(8) {
				case 0:
					v, want = nested{3}, `{"d":{"d":{"d":"end"}}}`
				case 1:
					func() {
						defer func() { _ = recover() }()
						_, _ = args.Marshal([]any{strings.Repeat("x", 100), panics{}})
					}()
					continue
				case 2:
					done := make(chan struct{})
					go func() { defer close(done); _, _ = args.Marshal([]any{"y", exits{}}) }()
					<-done
					continue
				case 3:
					if _, err := args.Marshal([]any{"half", fails{}}); err == nil {
						t.Error("no error")
					}
					continue
				case 4:
					if _, err := args.Marshal([]any{"half", broken{}}); err == nil {
						t.Error("no error")
					}
					continue
				case 5:
					s := strings.Repeat("<", rand.IntN(200_000)/(1+rand.IntN(1000)))
					v, want = s, `"`+s+`"`
				case 6:
					raw, parts, err := args.Encode([]any{struct{ B args.Binary }{args.Binary(fmt.Sprint(g, i))}})
					if err != nil || len(parts) != 1 || string(parts[0]) != fmt.Sprint(g, i) || string(raw[0]) != `{"B":{"_placeholder":true,"num":0}}` {
						t.Errorf("%s %q %v", raw, parts, err)
					}
					continue
				default:
					v, want = map[string]int{"g": g, "i": i}, fmt.Sprintf(`{"g":%d,"i":%d}`, g, i)
				}
				got, err := args.Marshal(v)
				if err != nil || string(got) != want {
					t.Errorf("%.80s, %v, want %.80s", got, err, want)
				}
				if keep = append(keep, kept{got, want}); len(keep) > 50 {
					keep = keep[1:]
				}
				for _, k := range keep {
					if string(k.got) != k.want {
						t.Errorf("%.80s has become %.80s", k.want, k.got)
						return
					}
				}
			}
		})
	}
	all.Wait()
}

// Arguments more than the buffer on the stack holds, and fewer than are skipped.
func TestArgsOfAnyNumber(t *testing.T) {
	for n := range 40 {
		b, _ := json.Marshal(append([]int{}, make([]int, n)...))
		for skip := range 3 {
			a := args.New(b, skip, nil)
			want := max(n-skip, 0)
			into := make([]any, 50)
			ints := make([]int, 50)
			for i := range into {
				ints[i] = -1
				into[i] = &ints[i]
			}
			if err := a.Decode(into...); err != nil {
				t.Fatal(err)
			}
			got := 0
			for _, x := range ints {
				if x == 0 {
					got++
				}
			}
			v, err := a.Values()
			if a.Len() != want || got != want || len(v) != want || err != nil {
				t.Errorf("%d elements, skip %d: Len %d, decoded %d, values %d, %v", n, skip, a.Len(), got, len(v), err)
			}
		}
	}
}
