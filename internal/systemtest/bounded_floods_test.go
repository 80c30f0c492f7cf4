package systemtest_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/wire/ws"
)

// What a flood of each kind of packet ends in, where no limit is set: in nothing, or in the end of the connection. What is
// ignored is counted; of what is answered only the newest, or as much as is read.
//
//	packet                                flood ends in
//	pong that nobody has asked for        nothing, counted
//	noop, open, upgrade                   nothing, counted
//	websocket's ping                      the newest is answered, all are counted
//	ACK of an unknown id                  nothing, counted; limits.inbound counts it
//	weir:ack of an unknown message        an event: limits.inbound, turns
//	Engine.IO ping, of the other side     the end: transport error
//	CONNECT of a path that is none        CONNECT_ERROR; who does not read them is not read
//	CONNECT that is undecided             the 65th is the end: parse error
//	CONNECT of a namespace joined         the end: parse error
//	DISCONNECT of a namespace not joined  the end: parse error (TestBrokenPacketsCloseTheirSessionOnly)
//	CONNECT and DISCONNECT                limits.inbound (isolated_packets_test.go); turns
//	attachments that never come           maxHttpBufferSize, then the memory budget: the end for memory_budget
//	fragments of a message without end    the same

// flood sends a frame so many times, in writes of many; it stops when the connection is closed.
func (p *peer) flood(op ws.Opcode, payload string, times int) {
	p.t.Helper()
	var batch []byte
	for range 500 {
		batch = ws.AppendMasked(batch, op, [4]byte{1, 2, 3, 4}, []byte(payload))
	}
	for range times / 500 {
		if _, err := p.conn.Write(batch); err != nil {
			return
		}
	}
}

func TestFloodOfPacketsThatSayNothing(t *testing.T) {
	const many = 20_000
	for name, so := range drivers {
		for kind, c := range map[string]struct {
			op     ws.Opcode
			packet string
		}{
			"pong": {ws.Text, "3"}, "ignored": {ws.Text, "6"}, "answer": {ws.Text, `43/feed,4711["of nothing"]`},
			"websocket_ping": {ws.Ping, "are you there"},
		} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				so.Namespaces = feed(weir.TopicOptions{Name: "prices"}).Namespaces
				srv := start(t, weir.Options{Servers: []weir.ServerOptions{so}})
				beside := newBystander(t, srv)
				p := dial(t, addr(srv), "/feed", nil, dialOptions{})
				before := metric(t, srv, "weir_stray_packets_total", `what="`+kind+`"`)
				p.flood(c.op, c.packet, many) // it reads nothing meanwhile
				beside.undisturbed()
				eventually(t, "all are counted", func() bool {
					return metric(t, srv, "weir_stray_packets_total", `what="`+kind+`"`) == before+many
				})
				if held := metric(t, srv, "weir_memory_held_bytes", `what="inbound"`); held != 0 {
					t.Errorf("%v bytes held", held)
				}
				p.subscribe("/feed", "prices") // it is served as before
				beside.undisturbed()
			})
		}
	}
}

// Who asks for namespaces that there are not, and does not read that there are none, is not read beyond.
func TestFloodOfUnknownNamespacesStopsReading(t *testing.T) {
	for name, so := range drivers {
		t.Run(name, func(t *testing.T) {
			so.Namespaces = feed(weir.TopicOptions{Name: "prices"}).Namespaces
			srv := start(t, weir.Options{Servers: []weir.ServerOptions{so}})
			beside := newBystander(t, srv)
			p := dialRaw(t, addr(srv), dialOptions{receiveBuffer: 4 << 10})
			stop := make(chan struct{})
			go func() {
				defer close(stop)
				p.flood(ws.Text, "40/none"+strings.Repeat("x", 1000)+",", 1<<30) // until it is cut
			}()
			eventually(t, "it is not read", func() bool { return metric(t, srv, "weir_memory_held_bytes", `what="inbound"`) > 0 })
			for range 20 {
				beside.undisturbed()
			}
			if held, _ := srv.HeldBytes(); held > 2<<20 {
				t.Errorf("%d bytes held for a client that asks and does not read", held)
			}
			_ = p.conn.Close()
			<-stop
			eventually(t, "all is given back", func() bool { return metric(t, srv, "weir_memory_held_bytes", `what="inbound"`) == 0 })
		})
	}
}

// A client may wait for 64 namespaces to let it in; the next ends it.
func TestFloodOfUndecidedConnectsEnds(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	so := weir.ServerOptions{}
	for i := range 70 {
		so.Namespaces = append(so.Namespaces, weir.NamespaceOptions{Path: fmt.Sprintf("/n%d", i)})
	}
	srv := start(t, weir.Options{Servers: []weir.ServerOptions{so}}, func(s *weir.Server) {
		for i := range 70 {
			s.Namespace(fmt.Sprintf("/n%d", i)).Use(func(context.Context, *weir.Socket) error { <-release; return nil })
		}
	})
	p := dialRaw(t, addr(srv), dialOptions{})
	for i := range 70 {
		_ = p.write(fmt.Sprintf("40/n%d,", i)) // it is closed before the last
	}
	if err := p.closed(); err != nil {
		t.Error(err)
	}
}

// Clients that send what never becomes a message hold no more together than the memory budget: those that hold most are cut,
// and who is beside them stays.
func TestFloodOfUnfinishedMessagesEndsAtTheBudget(t *testing.T) {
	const budget = 4 << 20
	part := make([]byte, 900_000)
	kinds := map[string]func(*peer) error{
		"attachments": func(p *peer) error {
			_ = p.write(`452-/feed,["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`)
			_, err := p.conn.Write(ws.AppendMasked(nil, ws.Binary, [4]byte{}, part))
			return err
		},
		"fragments": func(p *peer) error {
			f := ws.AppendMasked(nil, ws.Binary, [4]byte{}, part)
			f[0] &^= 0x80 // FIN
			_, err := p.conn.Write(f)
			return err
		},
	}
	for name, so := range drivers {
		for kind, send := range kinds {
			t.Run(name+"/"+kind, func(t *testing.T) {
				so.Namespaces = feed(weir.TopicOptions{Name: "prices"}).Namespaces
				o := weir.Options{Servers: []weir.ServerOptions{so}}
				o.Memory.BudgetBytes = budget
				srv := start(t, o)
				beside := newBystander(t, srv)
				const clients = 12
				var all []*peer
				for i := range clients { // each of another kind, or the first to be cut would keep the others out
					p := dial(t, addr(srv), "/feed", nil, dialOptions{header: fmt.Sprintf("User-Agent: %d\r\n", i)})
					_ = send(p) // it may be cut meanwhile
					all = append(all, p)
				}
				eventually(t, "some are cut, and the budget is kept", func() bool {
					held, _ := srv.HeldBytes()
					return metric(t, srv, "weir_cut_total", `cause="memory_budget"`) > 0 && held < budget
				})
				if n := metric(t, srv, "weir_cut_total", `cause="memory_budget"`); n >= clients {
					t.Errorf("all %v were cut", n)
				}
				for _, p := range all {
					_ = p.conn.Close()
				}
				eventually(t, "all is given back", func() bool { return metric(t, srv, "weir_memory_held_bytes", `what="inbound"`) == 0 })
				beside.undisturbed() // it was not cut
			})
		}
	}
}
