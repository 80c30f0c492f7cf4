package engineio

import "testing"

// Sessions whose ids share what the registry is keyed by are told apart.
func TestRegistryTellsLikeIDsApart(t *testing.T) {
	r := newRegistry()
	var sessions [4]*Session
	for i := range sessions {
		sessions[i] = &Session{id: sid{1, 2, 3, 4, 5, 6, 7, 8, 9, byte(i)}}
		r.add(sessions[i])
	}
	there := func(want ...int) {
		t.Helper()
		n := 0
		for range r.all() {
			n++
		}
		if n != len(want) {
			t.Errorf("%d sessions, want %d", n, len(want))
		}
		found := map[int]bool{}
		for _, i := range want {
			found[i] = true
		}
		for i, s := range sessions {
			if got := r.get(s.id); found[i] && got != s || !found[i] && got != nil {
				t.Errorf("id %d: %p", i, got)
			}
		}
	}
	there(0, 1, 2, 3)
	r.remove(sessions[2])
	there(0, 1, 3)
	r.remove(sessions[0])
	there(1, 3)
	r.add(sessions[0])
	there(0, 1, 3)
	for s := range r.all() {
		r.remove(s)
	}
	there()
	if r.get(sid{}) != nil {
		t.Error("an id nobody has")
	}
}
