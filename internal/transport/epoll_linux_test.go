package transport_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/transport"
	"github.com/streamweir/weir/internal/transport/looptest"
	"github.com/streamweir/weir/internal/wire/ws"
)

// A connection that is not read is watched all the same: its peer's reset ends it, once, without the loop turning over it.
func TestPausedConnectionEndsWithItsPeersReset(t *testing.T) {
	for name, unread := range map[string]string{"nothing unread": "", "unread data": "x"} {
		t.Run(name, func(t *testing.T) {
			server, client := tcpPair(t)
			e := epoll.connect(t, server, client)
			e.loop.Do(e.socket.Pause)
			if unread != "" {
				e.send(ws.Text, unread)
			}
			e.loop.Pass()
			reset(t, client)
			if got := e.wantClosed(base.CauseTransportError); got.err == nil {
				t.Error("no error")
			}
			wantSleep(t, e.loop)
			if len(e.messages) > 0 {
				t.Error("a message was delivered while paused")
			}
		})
	}
}

// wantSleep fails if the loop turns without being asked to.
func wantSleep(t *testing.T, l *looptest.Loop) {
	t.Helper()
	l.Pass()
	before := l.Slept()
	const tasks = 100
	for range tasks {
		l.Do(func() {})
	}
	if n := l.Slept() - before; n > tasks+5 {
		t.Errorf("the loop turned %d times for %d tasks", n, tasks)
	}
}

func TestPausedConnectionThatIsHalfClosedDoesNotSpin(t *testing.T) {
	server, client := tcpPair(t)
	e := epoll.connect(t, server, client)
	e.loop.Do(e.socket.Pause)
	e.send(ws.Text, "waits")
	if err := client.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	wantSleep(t, e.loop)
	if len(e.closed) > 0 || len(e.messages) > 0 {
		t.Fatal("it was read while paused")
	}
	e.loop.Do(e.socket.Resume)
	e.wantMessage("text", "waits")
	e.wantClosed(base.CauseTransportClose)
}

// All that a peer sent before it ended its side comes, however much, before the end.
func TestHalfClosedPeerIsReadToTheEnd(t *testing.T) {
	drivers(t, func(t *testing.T, d driver) {
		server, client := tcpPair(t)
		e := d.connect(t, server, client)
		e.loop.Do(e.socket.Pause)
		const count = 300
		for i := range count {
			e.send(ws.Text, fmt.Sprintf("%d:%s", i, strings.Repeat("h", 1000)))
		}
		if err := client.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		e.loop.Do(e.socket.Resume)
		for i := range count {
			got := <-e.messages
			if head, _, _ := strings.Cut(got.data, ":"); head != fmt.Sprint(i) {
				t.Fatalf("message %s, want %d", head, i)
			}
		}
		e.wantClosed(base.CauseTransportClose)
	})
}

// receiver does what a test says with each message.
type receiver struct {
	*end
	message func(data string)
}

func (r receiver) Message(data []byte, _ bool) error {
	r.message(string(data))
	return nil
}

// hold begins a websocket on a loop with a receiver of the test's.
func hold(t testing.TB, loop *looptest.Loop, now func() int64, server, client net.Conn, message func(e *end, data string)) *end {
	t.Helper()
	e := newEnd(t, loop, client)
	var err error
	e.socket, err = e.driver.WebSocket(transport.Upgraded{Conn: server}, &transport.WebSocketOptions{Loop: loop, Poller: loop.Poller, Now: now, Limit: testLimit})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	loop.Do(func() { e.socket.Start(receiver{e, func(data string) { message(e, data) }}) })
	return e
}

// Abort may come from inside a message: nothing follows but Closed, in a step of its own.
func TestAbortInsideAMessage(t *testing.T) {
	server, client := tcpPair(t)
	now := realTime()
	loop := looptest.NewPolling(t, now)
	messages := 0
	e := hold(t, loop, now, server, client, func(e *end, _ string) {
		messages++
		e.socket.Abort()
		if len(e.closed) > 0 {
			t.Error("Closed was called from inside Abort")
		}
		if n, err := e.socket.Write(ws.AppendFrame(nil, ws.Text, []byte("x"))); n != 0 || err == nil {
			t.Errorf("write after abort: %d, %v", n, err)
		}
	})
	if _, err := client.Write(append(masked(ws.Text, "a"), masked(ws.Text, "b")...)); err != nil {
		t.Fatal(err)
	}
	e.wantClosed(base.CauseForcedClose)
	if messages != 1 {
		t.Errorf("%d messages, want 1", messages)
	}
}

// An event that the kernel reported for a connection is not that of the one which has its descriptor since.
func TestEventOfAClosedConnectionDoesNotMeetTheNextOnItsDescriptor(t *testing.T) {
	now := realTime()
	loop := looptest.NewPolling(t, now)
	var victim, next *end
	quiet := func(*end, string) {}
	nextServer, nextClient := tcpPair(t)
	actServer, actClient := tcpPair(t)
	hold(t, loop, now, actServer, actClient, func(*end, string) {
		fd := victim.socket.Descriptor()
		victim.socket.Abort()
		next = newEnd(t, loop, nextClient)
		var err error
		next.socket, err = next.driver.WebSocket(transport.Upgraded{Conn: nextServer}, &transport.WebSocketOptions{Loop: loop, Poller: loop.Poller, Now: now, Limit: testLimit})
		if err != nil || next.socket.Descriptor() != fd {
			t.Errorf("%v, or the kernel chose another descriptor: this tests nothing", err)
		}
		next.socket.Pause() // a hang-up ends who is not read
		next.socket.Start(next)
	})
	victimServer, victimClient := tcpPair(t)
	victim = hold(t, loop, now, victimServer, victimClient, quiet)
	loop.Do(func() { // both are ready in one turn, the victim second
		if _, err := actClient.Write(masked(ws.Text, "now")); err != nil {
			t.Error(err)
		}
		reset(t, victimClient)
	})
	<-victim.closed
	loop.Pass()
	if len(next.closed) > 0 {
		t.Fatalf("the connection that followed was ended: %+v", <-next.closed)
	}
	loop.Do(next.socket.Resume)
	next.send(ws.Text, "alive")
	next.wantMessage("text", "alive")
}

// The time a closing connection was given is not that of whoever has its descriptor next.
func TestLingerTimeIsThatOfItsConnection(t *testing.T) {
	p := newPort(t, "127.0.0.1:0", 1, nil)
	for range 20 { // until the kernel has given the same descriptor twice
		first := p.open()
		fd := first.descriptor()
		first.loop.Do(first.socket.Close)
		newReader(first.peer).want(t, "close:")
		_ = first.peer.Close() // it has gone before its time
		<-first.closed
		second := p.open()
		again := second.descriptor()
		p.turn(time.Hour)
		second.send(ws.Text, "alive")
		second.wantMessage("text", "alive")
		_ = second.peer.Close()
		<-second.closed
		if again == fd {
			return
		}
	}
	t.Fatal("no descriptor was used again: this tests nothing")
}

func TestCloseLingersTwoSeconds(t *testing.T) {
	p := newPort(t, "127.0.0.1:0", 1, nil)
	e := p.open()
	e.loop.Do(e.socket.Pause) // it is read all the same
	e.loop.Do(e.socket.Close)
	newReader(e.peer).want(t, "close:")
	e.send(ws.Text, "too late")
	p.turn(2*time.Second - 1)
	if len(e.closed) > 0 {
		t.Fatal("the peer was not waited for")
	}
	p.turn(1)
	if got := <-e.closed; got.cause != base.CauseForcedClose {
		t.Errorf("closed with %v", got.cause)
	}
	wantGone(t, e.peer)
}

// A peer that broke the protocol sees our close frame and the end of the connection at once, and that what it still sends is
// read for a quarter of a second only.
func TestPeerThatBrokeTheProtocolIsOwedNoPatience(t *testing.T) {
	p := newPort(t, "127.0.0.1:0", 1, nil)
	e := p.open()
	if _, err := e.peer.Write([]byte("\xff\x80")); err != nil {
		t.Fatal(err)
	}
	peer := newReader(e.peer)
	peer.want(t, "close:\x03\xea")
	peer.wantEOF(t)
	if _, err := e.peer.Write([]byte("it goes on")); err != nil {
		t.Fatal(err)
	}
	p.turn(250*time.Millisecond - 1)
	if len(e.closed) > 0 {
		t.Fatal("what came was not drained")
	}
	p.turn(1)
	if got := <-e.closed; got.cause != base.CauseTransportError {
		t.Errorf("closed with %v", got.cause)
	}
	wantGone(t, e.peer)
}

// So is one that broke the protocol above: nothing it sends is heard, not even the answer to our close frame.
func TestPeerThatBrokeTheProtocolAboveIsOwedNoPatience(t *testing.T) {
	p := newPort(t, "127.0.0.1:0", 1, nil)
	e := p.open()
	e.loop.Do(e.socket.Dismiss)
	e.loop.Do(e.socket.Dismiss) // idempotent
	peer := newReader(e.peer)
	peer.want(t, "close:")
	peer.wantEOF(t)
	e.send(ws.Text, "it goes on")
	p.turn(250*time.Millisecond - 1)
	if len(e.closed) > 0 {
		t.Fatal("what came was not drained")
	}
	p.turn(1)
	if got := <-e.closed; got.cause != base.CauseForcedClose {
		t.Errorf("closed with %v", got.cause)
	}
	wantGone(t, e.peer)
}

func TestCloseOfABlockedConnectionEndsInTime(t *testing.T) {
	p := newPort(t, "127.0.0.1:0", 1, nil)
	e := p.open()
	for !e.fill() { // until it stands in the middle of a frame, which Close aborts
		continue
	}
	e.loop.Do(e.socket.Close)
	if got := <-e.closed; got.cause != base.CauseForcedClose {
		t.Errorf("closed with %v", got.cause)
	}
}

// The handshake's answer may still be owed when the first message is read: what is written then must not touch what
// is being read.
func TestGreetingWrittenInsideAMessageLeavesTheBatchAlone(t *testing.T) {
	ends := make(chan *end, 1)
	var got []string
	p := newPort(t, "127.0.0.1:0", 1, func(p *port, o *transport.IntakeOptions) {
		o.Arrive = func(a *transport.Arrival) {
			e := newEnd(t, p.loops[0], nil)
			e.socket = a.Greeted(&transport.WebSocketOptions{Loop: e.loop, Now: p.clock.Load, Limit: testLimit})
			e.socket.Start(receiver{e, func(data string) {
				got = append(got, data)
				if len(got) == 1 {
					if _, err := e.socket.Write(ws.AppendFrame(nil, ws.Text, []byte("hello"))); err != nil {
						t.Error(err)
					}
				}
			}})
			ends <- e
		}
	})
	conn := p.dial(upgradeHead(""))
	e := <-ends
	const count = 20
	var batch []byte
	for i := range count {
		batch = append(batch, masked(ws.Text, fmt.Sprint("message ", i))...)
	}
	p.write(conn, string(batch))
	wantBytes(t, conn, switching+"\x81\x05hello")
	_ = conn.Close()
	<-e.closed
	e.loop.Do(func() {
		for i, m := range got {
			if m != fmt.Sprint("message ", i) {
				t.Errorf("message %d is %q", i, m)
			}
		}
		if len(got) != count {
			t.Errorf("%d messages of %d", len(got), count)
		}
	})
}

// The answer goes out with the end if nothing else was written.
func TestGreetingGoesOutWithTheEnd(t *testing.T) {
	for name, end := range map[string]func(*transport.WebSocket){"abort": (*transport.WebSocket).Abort, "close": (*transport.WebSocket).Close} {
		t.Run(name, func(t *testing.T) {
			p := newPort(t, "127.0.0.1:0", 1, func(p *port, o *transport.IntakeOptions) {
				o.Arrive = func(a *transport.Arrival) {
					e := newEnd(t, p.loops[0], nil)
					e.socket = a.Greeted(&transport.WebSocketOptions{Loop: e.loop, Now: p.clock.Load, Limit: testLimit})
					e.socket.Start(e)
					end(e.socket)
					p.ends <- e
				}
			})
			conn := p.dial(upgradeHead(""))
			wantBytes(t, conn, switching)
			if name == "close" {
				wantBytes(t, conn, "\x88\x00")
				if _, err := conn.Write(masked(ws.Close, "")); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := io.ReadAll(conn); len(got) > 0 || err != nil {
				t.Errorf("then %q, %v", got, err)
			}
			if got := <-(<-p.ends).closed; got.cause != base.CauseForcedClose {
				t.Errorf("closed with %v", got.cause)
			}
		})
	}
}

// A task posted at any moment ends a Wait of an hour.
func TestPollerHearsEveryTask(t *testing.T) {
	loop := looptest.NewPolling(t, realTime())
	const tasks = 50_000
	ran := make(chan int, 1)
	for i := range tasks {
		loop.Post(looptest.Task(func() { ran <- i }))
		if got := <-ran; got != i {
			t.Fatalf("task %d ran, want %d", got, i)
		}
		for range rand.IntN(300) { // to meet the loop on its way to sleep
			_ = loop.Slept()
		}
	}
}

// The same from many goroutines, of which most find the loop awake.
func TestPollerHearsTasksOfMany(t *testing.T) {
	loop := looptest.NewPolling(t, realTime())
	const posters, each = 8, 5_000
	var ran atomic.Int64
	var over sync.WaitGroup
	for range posters {
		over.Go(func() {
			for range each {
				loop.Do(func() { ran.Add(1) })
			}
		})
	}
	over.Wait()
	if n := ran.Load(); n != posters*each {
		t.Errorf("%d tasks ran, want %d", n, posters*each)
	}
}

// Who posts to a loop that ends meanwhile must not ring a bell whose number is somebody else's by then.
func TestWakeDuringClose(t *testing.T) {
	for range 300 {
		loop := looptest.NewPolling(t, realTime())
		for loop.Slept() == 0 {
			runtime.Gosched()
		}
		ran, posted := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(posted)
			loop.Post(looptest.Task(func() { close(ran) }))
		}()
		<-ran // by now the loop is awake, and the poster may still be ringing
		loop.Stop()
		<-posted
	}
}

func TestPollerCloseClosesWhatIsLeft(t *testing.T) {
	before := descriptors(t)
	p := newPort(t, "127.0.0.1:0", 2, nil)
	var peers []net.Conn
	for range 10 {
		peers = append(peers, p.open().peer)
	}
	if err := p.intake.Close(); err != nil {
		t.Fatal(err)
	}
	for _, l := range p.loops {
		l.Stop()
		l.Poller.Close()
	}
	for _, peer := range peers {
		wantGone(t, peer)
		_ = peer.Close()
	}
	wantNoMoreDescriptors(t, before)
}

// A deadline that was set on a connection before it was adopted no longer counts, and Go's poller has let go of it.
func TestAdoptedConnectionIsThePollersAlone(t *testing.T) {
	before := descriptors(t)
	server, client := tcpPair(t)
	if err := server.SetDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	e := epoll.connect(t, server, client)
	if _, err := server.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the connection adopted can be read: %v", err)
	}
	if _, err := server.Write([]byte("x")); !errors.Is(err, net.ErrClosed) && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection adopted can be written: %v", err)
	}
	e.send(ws.Text, "x")
	e.wantMessage("text", "x")
	e.loop.Do(e.socket.Abort)
	<-e.closed
	_ = client.Close()
	e.loop.Stop()
	wantNoMoreDescriptors(t, before)
}
