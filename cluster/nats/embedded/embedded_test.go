package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/cluster"
	"github.com/streamweir/weir/cluster/nats/embedded"
	"github.com/streamweir/weir/internal/enginetest"
)

const secret = "a secret of the tests"

func open(t testing.TB, o embedded.Options) *embedded.Broker {
	t.Helper()
	b, err := embedded.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ear hears nothing, and is told why its Join waits.
type ear struct{ why chan string }

func newEar() *ear { return &ear{make(chan string, 10_000)} }

func (e *ear) Message(string, []byte)          {}
func (e *ear) Entries(string, []cluster.Entry) {}
func (e *ear) Lapsed()                         {}
func (e *ear) Changed(cluster.State)           {}
func (e *ear) Waiting(why error)               { e.why <- why.Error() }

func join(t *testing.T, o embedded.Options, node string, e *ear) cluster.Member {
	t.Helper()
	m, err := open(t, o).Join(t.Context(), node, e)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

func put(ctx context.Context, m cluster.Member, data string) (cluster.Position, error) {
	at, err := m.Append(ctx, "log", cluster.AppendOptions{Keep: 100_000}, []byte(data))
	if err != nil {
		return cluster.Position{}, err
	}
	return at[0], nil
}

// A node alone has its log over its end, a large message too.
func TestOneServerKeepsWhatWasAppended(t *testing.T) {
	o := embedded.Options{StoreDir: filepath.Join(t.TempDir(), "store")}
	m := join(t, o, "a", newEar())
	big := strings.Repeat("x", 9<<20) // in two pieces
	was, err := put(t.Context(), m, big)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, o).Join(t.Context(), "a", newEar()); err == nil || !strings.Contains(err.Error(), "locked") {
		t.Errorf("a second server in one directory: %v", err)
	}
	m.Close()
	if s, err := os.Stat(o.StoreDir); err != nil || s.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", s.Mode(), err)
	}
	if _, err := open(t, o).Join(t.Context(), "b", newEar()); err == nil || !strings.Contains(err.Error(), `is that of node "a"`) {
		t.Errorf("a node of another name: %v", err)
	}
	m = join(t, o, "a", newEar())
	p, err := m.Read(t.Context(), "log", 0, cluster.Limit{})
	for errors.Is(err, cluster.ErrAway) && t.Context().Err() == nil { // a busy machine reads it in more than a member waits
		p, err = m.Read(t.Context(), "log", 0, cluster.Limit{})
	}
	if err != nil || len(p.Entries) != 1 || p.Entries[0].Position != was || string(p.Entries[0].Data) != big {
		t.Errorf("%v, %+v", err, p.Last)
	}
}

// Three servers that start in any order are one cluster when they are there, and say before what they wait for. Each ends and comes
// back while the others go on: what was answered is there once, in its order.
func TestThreeServersGoOnWithoutOne(t *testing.T) {
	peers, members := enginetest.FreeAddrs(t, 3), make([]cluster.Member, 3)
	o := make([]embedded.Options, 3)
	for i := range o {
		o[i] = embedded.Options{StoreDir: t.TempDir(), Listen: peers[i], Peers: peers, Secret: secret}
	}
	joined := make(chan error, 3)
	for i := range members {
		e := newEar()
		go func() {
			m, err := open(t, o[i]).Join(t.Context(), fmt.Sprint("n", i), e)
			members[i] = m
			joined <- err
		}()
		if i > 1 {
			break
		}
		for why := range e.why { // the first is alone, the second waits for the third
			if strings.Contains(why, fmt.Sprint(i+1, " of 3 are there, this one with them: 2 have to be, and the first time 3")) {
				break
			}
		}
	}
	for range members {
		if err := <-joined; err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range members {
		t.Cleanup(m.Close)
	}
	answered := make(map[string]cluster.Position)
	for gone := range members {
		members[gone].Close()
		for taken := 0; taken < 10; {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			data := fmt.Sprint(gone, "-", len(answered))
			at, err := put(ctx, members[(gone+1+taken%2)%3], data)
			cancel()
			switch {
			case err == nil:
				answered[data] = at
				taken++
			case errors.Is(err, cluster.ErrUndecided):
				answered[data] = cluster.Position{} // it may be there
				taken++
			case !errors.Is(err, cluster.ErrAway):
				t.Fatal(err)
			}
		}
		members[gone] = join(t, o[gone], fmt.Sprint("n", gone), newEar())
	}
	seen, last := make(map[string]int), uint64(0)
	for {
		p, err := members[1].Read(t.Context(), "log", last, cluster.Limit{Entries: 1000, Bytes: 1 << 20})
		if errors.Is(err, cluster.ErrAway) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Entries) == 0 {
			break
		}
		for _, e := range p.Entries {
			if at := answered[string(e.Data)]; e.Previous != last || (at.Offset != 0 && at != e.Position) {
				t.Errorf("%s at %+v after %d, told %+v", e.Data, e.Position, last, at)
			}
			seen[string(e.Data)]++
			last = e.Offset
		}
	}
	for data, at := range answered {
		if n := seen[data]; n > 1 || (n == 0 && at.Offset != 0) {
			t.Errorf("%s was answered and is there %d times", data, n)
		}
	}
}

// Who does not know the secret does not get in, neither as a server nor as a client.
func TestServersWithAnotherSecretAreNotPeers(t *testing.T) {
	peers := enginetest.FreeAddrs(t, 3)
	e := newEar()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	over := make(chan error, 2)
	for i, s := range []string{secret, "another secret than that"} {
		o := embedded.Options{StoreDir: t.TempDir(), Listen: peers[i], Peers: peers, Secret: s}
		go func() {
			_, err := open(t, o).Join(ctx, fmt.Sprint("n", i), e)
			over <- err
		}()
	}
	for range 6 { // several attempts of each
		if why := <-e.why; !strings.Contains(why, "1 of 3 are there") {
			t.Errorf("it waits since %s", why)
		}
	}
	cancel()
	for range 2 {
		if err := <-over; !errors.Is(err, cluster.ErrAway) {
			t.Errorf("%v", err)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	three := []string{"a:1", "b:1", "c:1"}
	for want, o := range map[string]embedded.Options{
		"StoreDir: is missing": {},
		"Peers: 2":             {StoreDir: "x", Listen: ":1", Peers: three[:2], Secret: secret},
		"Peers: 6":             {StoreDir: "x", Listen: ":1", Peers: append(three, "d:1", "e:1", "f:1"), Secret: secret},
		`Peers: "a:1" is`:      {StoreDir: "x", Listen: ":1", Peers: []string{"a:1", "b:1", "a:1"}, Secret: secret},
		`Peers: "a"`:           {StoreDir: "x", Listen: ":1", Peers: []string{"a", "b:1", "c:1"}, Secret: secret},
		"Listen: is missing":   {StoreDir: "x", Peers: three, Secret: secret},
		`Listen: "a"`:          {StoreDir: "x", Listen: "a", Peers: three, Secret: secret},
		"Peers: are missing":   {StoreDir: "x", Listen: ":1", Secret: secret},
		"Secret: of 5 bytes":   {StoreDir: "x", Listen: "127.0.0.1:1", Peers: three, Secret: "short"},
		"Secret: has no":       {StoreDir: "x", Secret: secret},
		"KeyPrefix":            {StoreDir: "x", KeyPrefix: "a.b"},
	} {
		if _, err := embedded.New(o); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// Of five servers any two may be away: what is appended is on all of them. Whichever three it were on, one of these pairs would be
// two of those.
func TestFiveServersGoOnWithoutTwo(t *testing.T) {
	const n = 5
	peers, members := enginetest.FreeAddrs(t, n), make([]cluster.Member, n)
	o, joined := make([]embedded.Options, n), make(chan error, n)
	for i := range o {
		o[i] = embedded.Options{StoreDir: t.TempDir(), Listen: peers[i], Peers: peers, Secret: secret}
		go func() {
			m, err := open(t, o[i]).Join(t.Context(), fmt.Sprint("n", i), newEar())
			members[i] = m
			joined <- err
		}()
	}
	for range members {
		if err := <-joined; err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range members {
		t.Cleanup(m.Close)
	}
	// goesOn waits until an append is taken: a new leader of the logs takes its time.
	goesOn := func(m cluster.Member, what string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		_, err := put(ctx, m, what)
		for ; err != nil && ctx.Err() == nil; _, err = put(ctx, m, what) {
			<-time.After(100 * time.Millisecond)
		}
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	goesOn(members[0], "all are there")
	for _, all := range [][3]int{{0, 1, 2}, {2, 3, 4}, {3, 4, 0}, {2, 4, 1}} { // and one that stays
		pair, stays := all[:2], members[all[2]]
		for _, i := range pair {
			members[i].Close()
		}
		goesOn(stays, fmt.Sprint("without ", pair))
		for _, i := range pair {
			members[i] = join(t, o[i], fmt.Sprint("n", i), newEar())
		}
		goesOn(members[pair[0]], fmt.Sprint("back again: ", pair))
	}
}
