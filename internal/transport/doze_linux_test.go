package transport_test

import (
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/transport"
)

// dozer is a poller whose loop is the test, with a connection that echoes.
func dozer(t *testing.T, pressed *bool) (p *transport.Poller, client net.Conn) {
	now := realTime()
	p = transport.NewPoller(now)
	p.Pressed = func() bool { return *pressed }
	loop := nowhere{make(chan struct{})}
	if err := p.Open(loop); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	server, client := tcpPair(t)
	e := &echo{}
	var err error
	e.socket, err = transport.NewDriver().WebSocket(transport.Upgraded{Conn: server}, &transport.WebSocketOptions{Loop: loop, Poller: p, Now: now, Limit: testLimit})
	if err != nil {
		t.Fatal(err)
	}
	e.socket.Start(e)
	return p, client
}

func send(t *testing.T, client net.Conn) {
	t.Helper()
	if _, err := client.Write(masked(1, "hello")); err != nil {
		t.Fatal(err)
	}
}

func wantEcho(t *testing.T, client net.Conn) {
	t.Helper()
	b := make([]byte, 7)
	if _, err := readFull(client, b); err != nil {
		t.Fatal(err)
	}
}

// A loop that is pressed dozes for a moment, and what arrives does not wake it; it hears of that when it comes round.
// Once it is not pressed any more an arrival wakes it as ever: that the test ends shows it.
func TestArrivalsDoNotWakeALoopThatDozes(t *testing.T) {
	pressed := true
	p, client := dozer(t, &pressed)
	for range 50 {
		pressed = true
		p.Wait(time.Hour, always) // ends by itself
		p.Dispatch()
		send(t, client)
		if p.Woken() {
			t.Fatal("an arrival would wake a loop that dozes")
		}
		p.Wait(time.Hour, always)
		p.Dispatch()
		wantEcho(t, client)

		pressed = false
		p.Wait(time.Millisecond, always)
		send(t, client)
		if !p.Woken() {
			t.Fatal("an arrival would not wake a loop that sleeps")
		}
		p.Wait(time.Hour, always)
		p.Dispatch()
		wantEcho(t, client)
	}
}

// What arrived while the loop dozed is there when it goes to sleep, though the kernel has told of it before.
func TestALoopDoesNotSleepOverWhatCameWhileItDozed(t *testing.T) {
	pressed := true
	p, client := dozer(t, &pressed)
	for range 50 {
		pressed = true
		p.Wait(time.Hour, always)
		send(t, client)
		pressed = false
		p.Wait(time.Hour, always)
		p.Dispatch()
		wantEcho(t, client)
	}
}

// Rouse wakes a loop that dozes, and none that sleeps.
func TestRouseIsForALoopThatDozes(t *testing.T) {
	pressed := false
	p, _ := dozer(t, &pressed)
	asleep := func(do func()) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for !p.Waits() {
				runtime.Gosched()
			}
			do()
		}()
		p.Wait(time.Hour, always)
		<-done
	}
	asleep(func() {
		p.Rouse()
		if p.Rung() {
			t.Error("Rouse has woken a loop that sleeps")
		}
		p.Wake()
	})
	pressed = true
	for roused := false; !roused; { // it may have dozed long enough before
		asleep(p.Rouse)
		roused = p.Rung()
	}
}
