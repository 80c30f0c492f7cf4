package roster_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/streamweir/weir/internal/roster"
)

// member is somebody in a roster.
type member struct {
	id, principal string
	mark          uint32
	places        *roster.Places[*member]
}

func (m *member) Identity() (id, principal string) { return m.id, m.principal }
func (m *member) Mark() *uint32                    { return &m.mark }
func (m *member) Vacated()                         { m.places = nil }

func (m *member) Places(want bool) *roster.Places[*member] {
	if m.places == nil && want {
		m.places = new(roster.Places[*member])
	}
	return m.places
}

// model is a roster beside the naive model of it.
type model struct {
	t    *testing.T
	rnd  *rand.Rand
	r    *roster.Roster[*member]
	all  []*member
	in   map[*member]map[string]bool // the rooms of each, its own among them
	told map[string]int              // members of each room, as the watch told

	stirred map[*member]bool // who has left a room or the roster since it was last cleared
	next    int
}

// The rooms of the model, some of which are ids too.
var modelRooms = []string{"a", "b", "c", "s0", "s1", "s2", ""}

func newModel(t *testing.T) *model {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	m := &model{
		t: t, rnd: rand.New(rand.NewPCG(seed, 0)), in: map[*member]map[string]bool{}, told: map[string]int{}, stirred: map[*member]bool{},
	}
	m.r = roster.New[*member](roster.NewWatch("/", m.hear))
	return m
}

// hear counts along with the watch.
func (m *model) hear(ch roster.Change) {
	switch ch.Kind {
	case roster.Created, roster.Deleted:
		if m.told[ch.Room] != 0 {
			m.t.Errorf("%s of %q, which has %d members", ch.Kind, ch.Room, m.told[ch.Room])
		}
	case roster.Joined:
		m.told[ch.Room]++
	case roster.Left:
		m.told[ch.Room]--
	}
}

func (m *model) room() string { return modelRooms[m.rnd.IntN(len(modelRooms))] }

// stir lets one member come, go, join, leave or leave everything.
func (m *model) stir() {
	r := m.rnd.IntN(12)
	if r < 2 || len(m.all) < 3 {
		m.come()
		return
	}
	i := m.rnd.IntN(len(m.all))
	s, name := m.all[i], m.room()
	switch {
	case r < 4:
		m.r.Remove(s)
		m.stirred[s] = true
		delete(m.in, s)
		m.all = slices.Delete(m.all, i, i+1)
		if s.places != nil {
			m.t.Fatalf("%s has left and is in %q", s.id, roster.RoomsOf(s))
		}
	case r < 8:
		m.r.Join(s, name)
		m.in[s][name] = true
	case r < 11:
		m.leave(s, name)
	default:
		for _, name := range modelRooms {
			m.leave(s, name)
		}
	}
}

func (m *model) come() {
	s := &member{id: fmt.Sprintf("s%d", m.next), principal: []string{"", "p", "q"}[m.rnd.IntN(3)]}
	m.next = (m.next + 1) % 40
	if _, there := m.r.Find(s.id); there {
		return
	}
	m.r.Add(s)
	m.all, m.in[s] = append(m.all, s), map[string]bool{s.id: true}
}

func (m *model) leave(s *member, name string) {
	m.r.Leave(s, name)
	if name != s.id && m.in[s][name] {
		delete(m.in[s], name)
		m.stirred[s] = true
	}
}

// target is a random one.
func (m *model) target() (t roster.Target) {
	pick := func() (out []string) {
		for range m.rnd.IntN(4) {
			out = append(out, m.room())
		}
		return out
	}
	switch m.rnd.IntN(6) {
	case 0:
		t.Socket = fmt.Sprintf("s%d", m.rnd.IntN(40))
	case 1, 2:
		t.Principal = []string{"p", "q", "nobody"}[m.rnd.IntN(3)]
	}
	t.Rooms, t.Except = pick(), pick()
	if m.rnd.IntN(8) == 0 {
		t.Rooms = []string{} // nobody
	}
	return t
}

// means reports whether a target means a member at this moment.
func (m *model) means(t *roster.Target, s *member) bool {
	in := func(name string) bool { return m.in[s][name] }
	return (t.Socket == "" || s.id == t.Socket) && (t.Principal == "" || s.principal == t.Principal) &&
		(t.Rooms == nil || slices.ContainsFunc(t.Rooms, in)) && !slices.ContainsFunc(t.Except, in)
}

// search finds whom a target means, in slices of so many looks with between between them.
func (m *model) search(t *roster.Target, looks func() int, between func()) (found []*member) {
	m.r.Begin(t)
	for done := false; ; between() {
		if found, _, done = m.r.Search(found, looks()); done {
			return found
		}
	}
}

// check compares everything with the model.
func (m *model) check() {
	m.t.Helper()
	rooms, principals, bytes := map[string]int{}, map[string]bool{}, int64(0)
	for s, names := range m.in {
		if s.principal != "" {
			principals[s.principal] = true
		}
		for name := range names {
			if rooms[name]++; name != s.id {
				bytes += roster.PlaceBytes
			}
			if !roster.In(s, name) {
				m.t.Errorf("%s is not in %q", s.id, name)
			}
		}
		got := roster.RoomsOf(s)
		if got[0] != s.id || !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(maps.Keys(names))) {
			m.t.Errorf("%s is in %q, want %v", s.id, got, names)
		}
		if found, ok := m.r.Find(s.id); !ok || found != s {
			m.t.Errorf("%s is not found", s.id)
		}
	}
	maps.DeleteFunc(m.told, func(_ string, n int) bool { return n == 0 })
	if !maps.Equal(m.told, rooms) {
		m.t.Errorf("the watch told of %v, want %v", m.told, rooms)
	}
	shared := 0 // rooms in which somebody is whose id it is not
	for name := range rooms {
		if slices.ContainsFunc(m.all, func(s *member) bool { return s.id != name && m.in[s][name] }) {
			shared++
			bytes += roster.RoomBytes + int64(len(name))
		}
	}
	if m.r.Len() != len(m.in) || m.r.Rooms() != shared || m.r.Principals() != len(principals) || m.r.Bytes() != bytes {
		m.t.Errorf("%d members, %d principals, %d rooms, %d bytes; want %d, %d, %d, %d",
			m.r.Len(), m.r.Principals(), m.r.Rooms(), m.r.Bytes(), len(m.in), len(principals), shared, bytes)
	}
}

// Members come, go, join, leave and leave everything. After each step the roster knows what
// the model knows, and a search finds whom the model means, each once, however it is sliced
// and also where the numbers of searches are used up. When all have left nothing is left.
func TestRosterAgreesWithModel(t *testing.T) {
	m := newModel(t)
	m.r.SetRound(math.MaxUint32 - 200)
	for n := range 4000 {
		m.stir()
		m.check()
		to := m.target()
		var got, want []string
		for _, s := range m.search(&to, func() int { return 1 + m.rnd.IntN(9) }, func() {}) {
			got = append(got, s.id)
		}
		for s := range m.in {
			if m.means(&to, s) {
				want = append(want, s.id)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("step %d: %+v finds %v, want %v", n, to, got, want)
		}
		if t.Failed() {
			t.Fatalf("step %d", n)
		}
	}
	for len(m.all) > 0 {
		m.r.Remove(m.all[0])
		delete(m.in, m.all[0])
		m.all = m.all[1:]
	}
	if m.check(); m.r.Bytes() != 0 {
		t.Errorf("%d bytes are left", m.r.Bytes())
	}
}

// While a search goes on members come and go and change rooms. Who was meant at its
// beginning and has left nothing since is found; who was not, or came later, is not; and
// nobody is found twice. Also where the numbers of searches are used up.
func TestSearchInSlicesFindsWhoWasThereAndStayed(t *testing.T) {
	m := newModel(t)
	found, left := 0, 0
	for n := range 3000 {
		if n%4 == 2 {
			m.r.SetRound(math.MaxUint32) // the first numbers come again, which marks still bear
		}
		for range m.rnd.IntN(6) {
			m.stir()
		}
		clear(m.stirred)
		to := m.target()
		meant, there := map[*member]bool{}, map[*member]bool{}
		unless := roster.Target{Socket: to.Socket, Principal: to.Principal, Rooms: to.Rooms}
		for _, s := range m.all {
			meant[s], there[s] = m.means(&to, s), m.means(&unless, s)
		}
		times := map[*member]int{}
		for _, s := range m.search(&to, func() int { return 1 + m.rnd.IntN(4) }, func() {
			for range m.rnd.IntN(4) {
				m.stir()
			}
		}) {
			found++
			times[s]++
			// Who has left an excepted room may be found, as if it had been before.
			if !meant[s] && !(there[s] && m.stirred[s]) {
				t.Fatalf("search %d, %+v: finds %s, which came later or is not meant", n, to, s.id)
			}
		}
		for s := range meant {
			switch {
			case times[s] > 1:
				t.Fatalf("search %d, %+v: finds %s %d times", n, to, s.id, times[s])
			case m.stirred[s]:
				left++
			case meant[s] && times[s] == 0:
				t.Fatalf("search %d, %+v: passes over %s, which has stayed", n, to, s.id)
			}
		}
	}
	if found < 3000 || left < 1000 {
		t.Errorf("%d found, %d left meanwhile: the test shows nothing", found, left)
	}
}

// A search looks at no more members in a slice than it is given, but one.
func TestSearchKeepsToItsSlice(t *testing.T) {
	r := roster.New[*member](nil)
	all := make([]*member, 1000)
	for i := range all {
		all[i] = &member{id: fmt.Sprintf("s%d", i), principal: "p"}
		r.Add(all[i])
		r.Join(all[i], "red")
	}
	done := func() (n int) {
		for _, m := range all {
			if r.Done(m) {
				n++
			}
		}
		return n
	}
	for _, to := range []roster.Target{
		{}, {Rooms: []string{"red"}}, {Except: []string{"red"}}, {Principal: "p"}, {Principal: "p", Rooms: []string{"red"}}, {Rooms: make([]string, 5000)},
	} {
		r.Begin(&to)
		before, slices, over := done(), 0, false
		for ; !over; slices++ {
			var left int
			if _, left, over = r.Search(nil, 16); left < -1 {
				t.Errorf("%+v: %d looks too many", to, -left)
			}
			now := done()
			if now-before > 16 {
				t.Errorf("%+v: a slice is done with %d members", to, now-before)
			}
			before = now
		}
		if slices < len(all)/16 {
			t.Errorf("%+v: %d slices", to, slices)
		}
	}
}

// Targets of nobody and of everybody are not the same.
func TestNoRoomsAreNotAllRooms(t *testing.T) {
	r := roster.New[*member](nil)
	r.Add(&member{id: "a"})
	for _, row := range []struct {
		to      roster.Target
		narrows bool
		want    int
	}{
		{roster.Target{}, false, 1}, {roster.Target{Rooms: []string{}}, true, 0}, {roster.Target{Rooms: []string{"a"}}, true, 1},
		{roster.Target{Except: []string{}}, true, 1}, {roster.Target{Except: []string{"a"}}, true, 0},
		{roster.Target{Socket: "a"}, true, 1}, {roster.Target{Socket: "b"}, true, 0}, {roster.Target{Principal: "p"}, true, 0},
	} {
		r.Begin(&row.to)
		found, _, done := r.Search(nil, 100)
		if !done || len(found) != row.want || row.to.Narrows() != row.narrows {
			t.Errorf("%+v: %d found, done %t, narrows %t", row.to, len(found), done, row.to.Narrows())
		}
	}
}
