package hook_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/hook"
)

// The cache says of a key what was kept of it, or nothing; it is within its bounds, and holds what it says.
func TestCacheIsBoundedAndNeverMixesKeys(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const entries, bytes = 20, 20 * (hook.CacheBytes + 300)
	held := 0
	c := hook.NewCache(entries, bytes, func(n int) { held += n })
	now, model := time.Unix(0, 0), map[byte]string{}
	found := 0
	for i := range 50_000 {
		key := byte(r.IntN(40))
		switch r.IntN(4) {
		case 0:
			now = now.Add(time.Millisecond)
		case 1:
			model[key] = fmt.Sprint(key, i)
			c.Keep(key, model[key], r.IntN(1000), now.Add(time.Second))
		default:
			if a, ok := c.Find(key, now); ok {
				found++
				if a.Principal != model[key] {
					t.Fatalf("key %d: %q, kept was %q", key, a.Principal, model[key])
				}
			}
		}
		if held < 0 || held > bytes || held > entries*(hook.CacheBytes+1000) {
			t.Fatalf("%d bytes held of %d", held, bytes)
		}
	}
	if found == 0 {
		t.Fatal("nothing was found")
	}
	c.Keep(1, "late", 10, now)
	if _, ok := c.Find(1, now); ok {
		t.Error("an answer was found that is not good any more")
	}
	c.Keep(2, "huge", bytes, now.Add(time.Second))
	if _, ok := c.Find(2, now); ok {
		t.Error("an answer was kept that is larger than all may be")
	}
}
