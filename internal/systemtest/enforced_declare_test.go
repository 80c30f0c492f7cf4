package systemtest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamweir/weir"
)

// late is a namespace with a topic of each kind that loops keep something for.
func late(i int) weir.NamespaceOptions {
	return weir.NamespaceOptions{Path: fmt.Sprintf("/late%d", i), AutoSubscribe: []string{"prices"}, Topics: []weir.TopicOptions{
		{Name: "prices"}, {Name: "slow", FlushDelay: time.Millisecond}, {Name: "user:*", Overflow: weir.Coalesce},
	}}
}

// TestNamespacesAreDeclaredWhileClientsComeAndGo: while clients join, publishers publish and operators look, namespaces are
// declared, and each works as if it had been there from the start.
func TestNamespacesAreDeclaredWhileClientsComeAndGo(t *testing.T) {
	const namespaces = 12
	o := feed(weir.TopicOptions{Name: "prices"})
	o.Management = weir.ManagementOptions{Addr: "127.0.0.1:0"}
	o.Events.Room = func(weir.RoomEvent) {}
	srv := start(t, o)
	stop := make(chan struct{})
	var busy sync.WaitGroup
	for _, f := range []func(*weir.Server, string) error{comeAndGo, publishThere, emitThere, look} {
		busy.Go(func() {
			for {
				if err := f(srv, late(rand.IntN(namespaces)).Path); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	var peers []*peer
	for i := range namespaces {
		n, err := srv.Declare(late(i), func(n *weir.Namespace) {
			n.On("hi", func(ctx context.Context, _ *weir.Socket, e *weir.Event) error { return e.Reply(ctx, n.Path()) })
		})
		if err != nil || srv.Namespace(n.Path()) != n {
			t.Fatal(err)
		}
		peers = append(peers, dial(t, addr(srv), n.Path(), nil, dialOptions{}))
	}
	close(stop)
	busy.Wait()
	for i, p := range peers {
		worksInLate(t, srv, p, late(i).Path)
	}
	_, metrics := management(t, srv, http.MethodGet, "/metrics", nil)
	_, topics := management(t, srv, http.MethodGet, "/api/topics", nil)
	for i := range namespaces {
		if path := late(i).Path; !strings.Contains(metrics, `namespace="`+path+`"`) || !strings.Contains(topics, path) {
			t.Errorf("%s is not among the metrics and topics", path)
		}
	}
}

// worksInLate is an event with its handler, and a message of each topic.
func worksInLate(t *testing.T, srv *weir.Server, p *peer, path string) {
	t.Helper()
	p.subscribe(path, "slow")
	p.subscribe(path, "user:1")
	for _, topic := range []string{"prices", "slow", "user:1"} {
		if _, err := srv.Publish(t.Context(), path, topic, "for "+topic); err != nil {
			t.Fatal(err)
		}
		for pk := p.packet(); pk.name != topic || string(pk.args[0]) != `"for `+topic+`"`; pk = p.packet() { // others publish there too
		}
	}
	p.emit(path, 7, "hi")
	for want := "43" + path + `,7["` + path + `"]`; ; {
		if got := p.next(); got == want {
			return
		}
	}
}

// comeAndGo has a client join a namespace, if it is there, and leave.
func comeAndGo(srv *weir.Server, path string) error {
	c, err := dialLean(addr(srv), path, leanOptions{})
	if err != nil {
		if strings.Contains(err.Error(), "Invalid namespace") {
			return nil
		}
		return err
	}
	return c.conn.Close()
}

func publishThere(srv *weir.Server, path string) error {
	_, err := srv.Publish(context.Background(), path, "user:1", 1)
	if errors.Is(err, weir.ErrUnknown) {
		return nil
	}
	return err
}

func emitThere(srv *weir.Server, path string) error {
	n, err := srv.Declare(weir.NamespaceOptions{Path: path + "/" + fmt.Sprint(rand.IntN(5))}, nil)
	if errors.Is(err, weir.ErrInvalid) {
		return nil // it is there already
	}
	if err != nil {
		return err
	}
	return n.Emit(context.Background(), "news", 1)
}

// look asks what an operator asks.
func look(srv *weir.Server, _ string) error {
	for _, path := range []string{"/metrics", "/api/topics", "/api/clients", "/api/lag", "/api/stats"} {
		resp, err := http.Get("http://" + srv.Addr("management").String() + path)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			return fmt.Errorf("GET %s: %s, %w", path, resp.Status, err)
		}
	}
	return nil
}

// TestNobodyEntersANamespaceBeforeItIsSetUp: its checks are there before it is found.
func TestNobodyEntersANamespaceBeforeItIsSetUp(t *testing.T) {
	srv := start(t, feed())
	p := dialRaw(t, addr(srv), dialOptions{})
	knock := func() string {
		p.send("40/late,")
		return p.next()
	}
	const refused = `44/late,{"message":"Invalid namespace"}`
	if got := knock(); got != refused {
		t.Fatalf("before: %s", got)
	}
	var checked atomic.Int32
	n, err := srv.Declare(weir.NamespaceOptions{Path: "/late"}, func(n *weir.Namespace) {
		if got := knock(); got != refused {
			t.Errorf("while it is set up: %s", got)
		}
		n.Use(func(context.Context, *weir.Socket) error { checked.Add(1); return nil })
		if got := knock(); got != refused {
			t.Errorf("while it is set up: %s", got)
		}
	})
	if err != nil || n.Path() != "/late" {
		t.Fatal(err)
	}
	if got := knock(); !strings.HasPrefix(got, `40/late,{"sid"`) || checked.Load() != 1 {
		t.Errorf("after: %s, checked %d times", got, checked.Load())
	}
}

// TestDeclareRefusesWhatCannotBe, with every problem, and leaves nothing behind.
func TestDeclareRefusesWhatCannotBe(t *testing.T) {
	o := feed(weir.TopicOptions{Name: "prices"})
	srv, err := weir.New(withDriver(o))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		o    weir.NamespaceOptions
		says []string
	}{
		"a path that is none": {weir.NamespaceOptions{Path: "late"}, []string{"Namespace.Path"}},
		"one that is there":   {weir.NamespaceOptions{Path: "/feed"}, []string{"declared already"}},
		"two problems": {
			weir.NamespaceOptions{Path: "/late", AuthRequired: true, Topics: []weir.TopicOptions{{Name: "subscribe"}}},
			[]string{"AuthRequired", "delivery event"},
		},
	} {
		n, err := srv.Declare(c.o, nil)
		if n != nil || !errors.Is(err, weir.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, want := range c.says {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want a word of %s", name, err, want)
			}
		}
	}
	topics := []weir.TopicOptions{{Name: "prices"}}
	n, err := srv.Declare(weir.NamespaceOptions{Path: "/late", Topics: topics}, nil)
	if err != nil || srv.Namespace("/late") != n {
		t.Errorf("before Run: %v", err)
	}
	topics[0].Name = "changed" // the caller's
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := srv.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if n, err := srv.Declare(weir.NamespaceOptions{Path: "/later"}, nil); n != nil || !errors.Is(err, weir.ErrDraining) {
		t.Errorf("after the end: %v", err)
	}
}

// TestANamespaceThatAsksForNoTokenOpensItsDoor: until it is declared an address with too many wrong tokens is turned away
// at the handshake; afterwards it may want that namespace.
func TestANamespaceThatAsksForNoTokenOpensItsDoor(t *testing.T) {
	var g gate
	srv := start(t, weir.Options{
		Authenticate: g.authenticate, AuthFailures: weir.AuthFailures{Max: 1},
		Servers: []weir.ServerOptions{{Auth: true, Namespaces: []weir.NamespaceOptions{{Path: "/strict", AuthRequired: true}}}},
	})
	p := dialRaw(t, addr(srv), dialOptions{})
	p.send(`40/strict,{"token":"bad"}`)
	if got := p.next(); !strings.HasPrefix(got, "44/strict,") {
		t.Fatal(got)
	}
	if _, err := tryDial(addr(srv), dialOptions{}); err == nil {
		t.Error("a handshake was welcome where all namespaces ask for a token")
	}
	if _, err := srv.Declare(weir.NamespaceOptions{Path: "/open"}, nil); err != nil {
		t.Fatal(err)
	}
	dial(t, addr(srv), "/open", nil, dialOptions{})
}
