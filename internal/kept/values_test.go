package kept_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/kept"
)

// blob encodes to a frame of that many bytes.
type blob int

func (b blob) Encode(*base.Message, base.Form) *base.Frame {
	return base.RawFrame(make([]byte, int(b)))
}

func (b blob) EncodeMarked(*base.Message, base.Form, base.Mark) *base.Frame {
	return base.RawFrame(make([]byte, int(b)+20))
}

func message(offset uint64, key string, size int, expires int64) *base.Message {
	m := base.NewMessage(blob(size))
	m.Offset, m.Key, m.Expires = offset, key, expires
	m.Frame(base.Plain)
	return m
}

// naive is the model: messages in the order of their publication.
type naive struct {
	limits  kept.Limits
	byKey   bool
	list    []*base.Message
	evicted bool
}

func (v *naive) size() (n int) {
	for _, m := range v.list {
		n += kept.Size(m)
	}
	return n
}

func (v *naive) put(m *base.Message) bool {
	v.list = slices.DeleteFunc(v.list, func(o *base.Message) bool { return !v.byKey || o.Key == m.Key })
	if v.limits.Keys < 1 || kept.Size(m) > v.limits.Bytes {
		v.evicted = true
		return false
	}
	for len(v.list) > 0 && (len(v.list) >= v.limits.Keys || v.size()+kept.Size(m) > v.limits.Bytes) {
		v.list, v.evicted = v.list[1:], true
	}
	v.list = append(v.list, m)
	if !v.byKey {
		v.evicted = false
	}
	return true
}

func listed(v *kept.Values, after uint64) (all []*base.Message) {
	for x := v.Next(after); x != nil; x = v.Next(x.Msg.Offset) {
		all = append(all, x.Msg)
	}
	return all
}

// Random publications against the model: the same values in the same order whatever
// is put, omitted, expired and sent, from wherever a reader stands.
func TestKeptValuesEqualTheNaiveModel(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 7))
		l := kept.Limits{Keys: r.IntN(12), Bytes: 1 + r.IntN(8000)}
		byKey := seed%3 > 0
		v, model := kept.New(l, byKey), &naive{limits: l, byKey: byKey}
		now := int64(0)
		for offset := uint64(1); offset < 400; offset++ {
			now += int64(r.IntN(3)) * 200_000_000
			m := message(offset, fmt.Sprint("k", r.IntN(1+int(seed%25))), r.IntN(1500), 0)
			if r.IntN(4) == 0 {
				m.Expires = now + int64(r.IntN(5))*300_000_000 + 1
			}
			if took, want := v.Put(m), model.put(m); took != want {
				t.Fatalf("seed %d: put %d: took %v, want %v", seed, offset, took, want)
			}
			switch r.IntN(8) {
			case 0:
				v.Expire(now, 1000)
				model.list = slices.DeleteFunc(model.list, func(o *base.Message) bool { return o.Expires != 0 && o.Expires <= now })
			case 1:
				if x := v.Next(uint64(r.IntN(int(offset)))); x != nil {
					if s := v.Snapshot(x, now); !s.IsMarked() || s.ID != x.Msg.ID || now-s.At > 250_000_000 {
						t.Fatalf("seed %d: snapshot made at %d, now %d", seed, s.At, now)
					}
				}
			}
			compare(t, seed, v, model, uint64(r.IntN(int(offset)+1)))
		}
		v.Drop()
		if v.Len() != 0 || v.Held() != 0 || v.Next(0) != nil {
			t.Fatalf("seed %d: dropped, and holds %d values, %d bytes", seed, v.Len(), v.Held())
		}
	}
}

func compare(t *testing.T, seed uint64, v *kept.Values, model *naive, after uint64) {
	t.Helper()
	want := slices.DeleteFunc(slices.Clone(model.list), func(m *base.Message) bool { return m.Offset <= after })
	if got := listed(v, after); !slices.Equal(got, want) {
		t.Fatalf("seed %d: %d values after %d, want %d", seed, len(got), after, len(want))
	}
	if v.Len() != len(model.list) || v.Complete() == model.evicted {
		t.Fatalf("seed %d: %d values, complete %v; the model has %d, evicted %v", seed, v.Len(), v.Complete(), len(model.list), model.evicted)
	}
	if size := model.size(); v.Held() < size || v.Held() > 2*size {
		t.Fatalf("seed %d: holds %d, its values are %d", seed, v.Held(), size)
	}
}

// What a value costs its publisher: the lock of its topic is held meanwhile.
func BenchmarkPut(b *testing.B) {
	for _, keys := range []int{0, 1, 1000} {
		b.Run(fmt.Sprint("keys=", keys), func(b *testing.B) {
			v := kept.New(kept.Limits{Keys: 1000, Bytes: 1 << 20}, keys > 0)
			list := make([]*base.Message, max(keys, 1))
			for i := range list {
				list[i] = message(0, fmt.Sprint("k", i), 200, 0)
			}
			offset := uint64(0)
			b.ReportAllocs()
			for b.Loop() {
				offset++
				m := list[offset%uint64(len(list))]
				m.Offset = offset
				v.Put(m)
			}
		})
	}
}
