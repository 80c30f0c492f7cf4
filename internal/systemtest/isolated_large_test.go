package systemtest_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/attach"
	"github.com/streamweir/weir/internal/transport"
	"github.com/streamweir/weir/internal/wire/sio"
	"github.com/streamweir/weir/internal/wire/ws"
)

// long is an event's JSON of n elements.
func long(name string, n int) string { return `["` + name + `"` + strings.Repeat(",1", n) + `]` }

// heard are the events a server has handled.
type heard struct {
	mu     sync.Mutex
	events []string
}

func (h *heard) note(ctx context.Context, _ *weir.Socket, e *weir.Event) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, fmt.Sprint(e.Name, " ", e.Len()))
	return e.Reply(ctx, e.Len())
}

func (h *heard) list() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.events)
}

// listener is a server that notes the events small, large and binary.
func listener(t *testing.T, o weir.Options) (*weir.Server, *heard) {
	t.Helper()
	h := new(heard)
	return start(t, o, func(s *weir.Server) {
		for _, name := range []string{"small", "large"} {
			s.Namespace("/feed").On(name, h.note)
		}
	}), h
}

const (
	large  = 200_000 // elements, of two bytes each
	beyond = 600_000 // more than a loop reads of who leaves
)

// A large message is read elsewhere, and everything is as with a small one: the order, the answers, attachments, the end
// of who sends nonsense.
func TestLargeMessagesComeInTheirOrder(t *testing.T) {
	srv, h := listener(t, feed())
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	var want []string
	for i := range 5 {
		p.send(fmt.Sprintf("42/feed,%d%s", 2*i, long("small", i)))
		p.send(fmt.Sprintf("42/feed,%d%s", 2*i+1, long("large", large+i)))
		want = append(want, fmt.Sprint("small ", i), fmt.Sprint("large ", large+i))
	}
	text := long("large", large)
	p.send("451-/feed,10" + strings.TrimSuffix(text, "]") + `,{"_placeholder":true,"num":0}]`)
	if _, err := p.conn.Write(ws.AppendMasked(nil, ws.Binary, [4]byte{1}, []byte("attached"))); err != nil {
		t.Fatal(err)
	}
	want = append(want, fmt.Sprint("large ", large+1))
	for i := range want {
		if pk := p.packet(); pk.typ != sio.Ack || pk.id != uint64(i) {
			t.Fatalf("answer %d is %+v", i, pk)
		}
	}
	if got := h.list(); !slices.Equal(got, want) {
		t.Errorf("handled %v, want %v", got, want)
	}
	p.send("42/feed," + strings.TrimSuffix(text, "]") + "}")
	if err := p.closed(); err != nil {
		t.Error(err)
	}
	eventually(t, "nothing is held", func() bool { return metric(t, srv, "weir_memory_held_bytes", `what="inbound"`) == 0 })
}

// A large message waits for a reader, not the loop: while all readers are taken, nobody finds out what is in it, and others
// are served.
func TestLargeMessageDoesNotHoldTheLoop(t *testing.T) {
	o := feed(weir.TopicOptions{Name: "prices"})
	o.Shards = 1 // and one reader
	srv := start(t, o)
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	other := dial(t, addr(srv), "/feed", nil, dialOptions{})
	release := attach.Tests.OccupyReaders(srv)
	p.send("42/feed," + strings.TrimSuffix(long("large", large), "]") + "}")
	eventually(t, "the message has come", func() bool { return metric(t, srv, "weir_memory_held_bytes", `what="inbound"`) > 2*large })
	other.subscribe("/feed", "prices")
	if n := len(views(t, srv)); n != 2 {
		t.Errorf("%d clients are left: the message was read though there was no reader for it", n)
	}
	release()
	if err := p.closed(); err != nil {
		t.Error(err)
	}
}

// Who sends something large and leaves has sent it, unless it is beyond what a loop may read at once.
func TestLargeMessageOfALeaverIsHandled(t *testing.T) {
	if !transport.Epoll || os.Getenv("WEIR_TEST_DRIVER") == "goroutine" {
		t.Skip("a goroutine that does not read does not notice that its peer has gone: it reads on when the message has been read")
	}
	o := feed()
	o.Shards = 1 // and one reader
	h := new(heard)
	srv := start(t, withBuffer(o, 4<<20), func(s *weir.Server) {
		n := s.Namespace("/feed")
		n.On("small", h.note)
		n.On("large", h.note)
	})
	busy := dial(t, addr(srv), "/feed", nil, dialOptions{})
	release := attach.Tests.OccupyReaders(srv)
	for i, n := range []int{large, beyond} {
		p := dial(t, addr(srv), "/feed", nil, dialOptions{})
		p.send("42/feed," + long("large", n))
		eventually(t, "the message has come", func() bool { return metric(t, srv, "weir_memory_held_bytes", `what="inbound"`) > float64(2*n) })
		_ = p.conn.(*net.TCPConn).SetLinger(0)
		_ = p.conn.Close()
		busy.emit("/feed", -1, "small", i)
	}
	eventually(t, "the others have left", func() bool { return len(views(t, srv)) == 1 })
	release()
	want := []string{fmt.Sprint("large ", large), "small 1", "small 1"}
	eventually(t, "all is handled", func() bool { return len(h.list()) == len(want) })
	got := h.list()
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("handled %v, want %v", got, want)
	}
	if n := metric(t, srv, "weir_memory_held_bytes", `what="inbound"`); n != 0 {
		t.Errorf("%v bytes are held of who has left", n)
	}
}

// A handler that waits for an answer of its client takes the only worker there is, and the answer may be a large message.
func TestHandlersDoNotHoldUpLargeMessages(t *testing.T) {
	o := feed()
	o.Workers.Max = 1
	asked := make(chan error, 1)
	srv := start(t, o, func(s *weir.Server) {
		s.Namespace("/feed").On("question", func(ctx context.Context, s *weir.Socket, _ *weir.Event) error {
			answer, err := s.Ask(ctx, "what")
			if err == nil && answer.Len() != 1 {
				err = fmt.Errorf("%d arguments", answer.Len())
			}
			asked <- err
			return nil
		})
	})
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	p.emit("/feed", -1, "question")
	pk := p.packet()
	p.send(fmt.Sprintf(`43/feed,%d[%q]`, pk.id, strings.Repeat("x", 2*large)))
	if err := <-asked; err != nil {
		t.Error(err)
	}
}

// withBuffer sets maxHttpBufferSize.
func withBuffer(o weir.Options, n int) weir.Options {
	o.Servers = []weir.ServerOptions{{Namespaces: o.Namespaces, SocketIO: weir.SocketIOOptions{MaxHTTPBufferSize: n}}}
	o.Namespaces = nil
	return o
}

// Over polling too, where a POST is answered when its packets have been handled.
func TestLargeMessagesOverPolling(t *testing.T) {
	srv, h := listener(t, feed())
	base := "http://" + addr(srv) + "/socket.io/?EIO=4&transport=polling"
	get := func(url string) string {
		t.Helper()
		resp, err := http.Get(url)
		return body(t, resp, err)
	}
	open := get(base)
	url := base + "&sid=" + between(open, `"sid":"`, `"`)
	post := func(packets ...string) {
		t.Helper()
		resp, err := http.Post(url, "text/plain", strings.NewReader(strings.Join(packets, "\x1e")))
		if got := body(t, resp, err); got != "ok" {
			t.Fatalf("POST answered %s", got)
		}
	}
	post("40/feed,")
	post("42/feed,"+long("small", 1), "42/feed,"+long("large", large), "42/feed,"+long("small", 2))
	post("42/feed," + long("small", 3))
	want := []string{"small 1", fmt.Sprint("large ", large), "small 2", "small 3"}
	eventually(t, "all is handled", func() bool { return len(h.list()) == len(want) })
	if got := h.list(); !slices.Equal(got, want) {
		t.Errorf("handled %v, want %v", got, want)
	}
	post("42/feed," + strings.TrimSuffix(long("large", large), "]") + "}")
	for {
		if got := get(url); strings.HasSuffix(got, "1") {
			break
		} else if strings.Contains(got, "Session ID unknown") {
			t.Error("the client is not told that its session is over")
			break
		}
	}
	eventually(t, "nothing is held", func() bool { return metric(t, srv, "weir_memory_held_bytes", `what="inbound"`) == 0 })
}

func body(t *testing.T, resp *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return string(text)
}

func between(s, before, after string) string {
	_, s, _ = strings.Cut(s, before)
	s, _, _ = strings.Cut(s, after)
	return s
}

// A delivery event that no lane could take is refused unread.
func TestDeliveryEventLargerThanAnyLaneIsRefused(t *testing.T) {
	srv := start(t, weir.Options{Namespaces: []weir.NamespaceOptions{{
		Path: "/feed", ClientPublish: true, Topics: []weir.TopicOptions{{Name: "prices", Max: weir.Limits{Bytes: 100_000}}},
	}}})
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	p.send(`42/feed,1["weir:publish",{"topic":"prices","payload":` + long("x", large) + `}]`)
	if pk := p.packet(); pk.id != 1 || !strings.Contains(fmt.Sprintf("%s", pk.args), `"too_large"`) {
		t.Errorf("answered %s", pk.args)
	}
	p.send(`42/feed,2["publish",{"topic":"prices","payload":` + long("x", large) + `}]`)
	if pk := p.packet(); pk.id != 2 || !strings.Contains(fmt.Sprintf("%s", pk.args), `"invalid"`) {
		t.Errorf("answered %s", pk.args)
	}
}
