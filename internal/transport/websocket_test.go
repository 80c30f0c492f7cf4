package transport_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/transport"
	"github.com/streamweir/weir/internal/wire/ws"
)

// carriers are the kinds of connections: written by the loop, of either driver, and
// through a goroutine with and without a kernel behind it.
func carriers(t *testing.T, test func(t *testing.T, e *end)) {
	drivers(t, func(t *testing.T, d driver) {
		server, client := tcpPair(t)
		test(t, d.connect(t, server, client))
	})
	t.Run("tls", func(t *testing.T) {
		server, client := tlsPair(t)
		test(t, goroutine.connect(t, server, client))
	})
	t.Run("secure", func(t *testing.T) {
		server, client := securePair(t)
		test(t, goroutine.connect(t, server, client))
	})
	t.Run("pipe", func(t *testing.T) {
		server, client := net.Pipe()
		test(t, goroutine.connect(t, server, client))
	})
}

func TestWebSocketCarriesMessagesBothWays(t *testing.T) {
	carriers(t, func(t *testing.T, e *end) {
		large := strings.Repeat("x", 200_000)
		e.send(ws.Text, "hello")
		e.wantMessage("text", "hello")
		e.send(ws.Binary, "\x00\x01")
		e.wantMessage("binary", "\x00\x01")
		e.send(ws.Text, large)
		e.wantMessage("text", large)

		peer := newReader(e.peer)
		go e.write(ws.AppendFrame(ws.AppendFrame(nil, ws.Text, []byte("a")), ws.Binary, []byte(large)))
		peer.want(t, "text:a")
		peer.want(t, "binary:"+large)
	})
}

func TestWebSocketDeliversWhatCameWithTheHandshakeFirst(t *testing.T) {
	drivers(t, func(t *testing.T, d driver) {
		server, client := tcpPair(t)
		early := append(masked(ws.Text, "first"), masked(ws.Text, "second")...)
		if _, err := client.Write(early[len(early)-3:]); err != nil { // the rest comes by the socket
			t.Fatal(err)
		}
		e := d.connect(t, server, client, early[:len(early)-3]...)
		e.wantMessage("text", "first")
		e.wantMessage("text", "second")
	})
}

func TestWebSocketWritesShortAndGoesOnWhenThePeerReads(t *testing.T) {
	drivers(t, func(t *testing.T, d driver) {
		server, client := tcpPair(t)
		if err := (transport.TCPOptions{NotSentLowat: 4 << 10}).Tune(server); err != nil {
			t.Fatal(err)
		}
		writesShort(t, d.connect(t, server, client))
	})
	t.Run("secure", func(t *testing.T) {
		server, client := securePair(t)
		writesShort(t, goroutine.connect(t, server, client))
	})
}

func writesShort(t *testing.T, e *end) {
	t.Helper()
	var want []string
	var pending []byte
	for i := range 2000 {
		payload := fmt.Sprintf("%d:%s", i, strings.Repeat("y", 5_000))
		want = append(want, "text:"+payload)
		pending = ws.AppendFrame(pending, ws.Text, []byte(payload))
	}
	unsent, given := 0, len(pending)
	e.loop.Do(func() {
		for e.socket.Window() > 0 {
			n, err := e.socket.Write(pending[:min(len(pending), e.socket.Window())])
			if err != nil {
				t.Error(err)
			}
			pending = pending[n:]
		}
		unsent = e.socket.Unsent()
		if p := e.socket.Progress(); p.Given < int64(given-len(pending)) || p.Left >= p.Given {
			t.Errorf("progress %+v of %d bytes", p, given-len(pending))
		}
	})
	if unsent == 0 || len(pending) == 0 {
		t.Fatal("a peer that does not read was given everything")
	}
	peer := newReader(e.peer)
	go e.write(pending)
	for _, frame := range want {
		peer.want(t, frame)
	}
	e.loop.Pass()
	e.loop.Do(func() {
		if e.socket.Window() == 0 {
			t.Error("the window is closed after the peer has read everything")
		}
	})
}

func TestWebSocketAnswersTheLatestPingAtAFrameBoundary(t *testing.T) {
	drivers(t, func(t *testing.T, d driver) {
		server, client := tcpPair(t)
		e := d.connect(t, server, client)
		e.loop.Do(func() {}) // one batch for the three frames
		if _, err := client.Write(append(append(masked(ws.Ping, "old"), masked(ws.Ping, "new")...), masked(ws.Text, "x")...)); err != nil {
			t.Fatal(err)
		}
		e.wantMessage("text", "x")
		<-e.room
		e.loop.Do(func() {
			batch := e.socket.Control(nil)
			batch = ws.AppendFrame(e.socket.Control(batch), ws.Text, []byte("after"))
			if _, err := e.socket.Write(batch); err != nil {
				t.Error(err)
			}
		})
		peer := newReader(client)
		peer.want(t, "pong:new")
		peer.want(t, "text:after")
	})
}

func TestWebSocketPausedReadsAtMostOneBatch(t *testing.T) {
	carriers(t, func(t *testing.T, e *end) {
		const count = 400
		e.loop.Do(e.socket.Pause)
		e.loop.Do(e.socket.Pause)
		sent := make(chan error, 1)
		go func() {
			var err error
			for i := range count {
				_, werr := e.peer.Write(masked(ws.Text, fmt.Sprintf("%d:%s", i, strings.Repeat("z", 1_000))))
				err = errors.Join(err, werr)
			}
			sent <- err
		}()
		if e.loop.Poller != nil {
			if err := <-sent; err != nil { // all of it waits in the kernel
				t.Fatal(err)
			}
		}
		e.loop.Pass()
		if got := len(e.messages); got > 0 {
			t.Errorf("%d messages were delivered while paused", got)
		}
		e.loop.Do(e.socket.Resume)
		for i := range count {
			got := <-e.messages
			if head, _, _ := strings.Cut(got.data, ":"); head != fmt.Sprint(i) {
				t.Fatalf("message %s, want %d", head, i)
			}
		}
		if e.loop.Poller == nil {
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestWebSocketBatchClosesTheWindowUntilItIsThrough(t *testing.T) {
	server, client := net.Pipe()
	e := goroutine.connect(t, server, client)
	frame := ws.AppendFrame(nil, ws.Text, []byte("hello"))
	e.loop.Do(func() {
		if n, err := e.socket.Write(frame); n != len(frame) || err != nil {
			t.Errorf("write: %d, %v", n, err)
		}
		clear(frame) // nothing of it may be kept
		if e.socket.Window() != 0 {
			t.Error("the window is open while a batch is under way")
		}
		if p := e.socket.Progress(); p.Given-p.Left != int64(len(frame)) {
			t.Errorf("progress %+v, want %d under way", p, len(frame))
		}
	})
	newReader(client).want(t, "text:hello")
	<-e.room
	e.loop.Do(func() {
		if e.socket.Window() == 0 {
			t.Error("the window is closed after the batch")
		}
		if p := e.socket.Progress(); p.Given != p.Left {
			t.Errorf("progress %+v, want nothing under way", p)
		}
	})
}

func TestWebSocketCloseSendsAnEmptyCloseFrame(t *testing.T) {
	carriers(t, func(t *testing.T, e *end) {
		peer := newReader(e.peer)
		e.loop.Do(func() {
			e.socket.Close()
			e.socket.Close()
			if n, err := e.socket.Write([]byte("\x81\x01x")); n != 0 || !errors.Is(err, transport.ErrClosed) {
				t.Errorf("write after close: %d, %v", n, err)
			}
		})
		peer.want(t, "close:")
		e.send(ws.Text, "too late")
		e.send(ws.Close, "")
		peer.wantEOF(t)
		e.wantClosed(base.CauseForcedClose)
		if len(e.messages) > 0 {
			t.Error("a message was delivered after Close")
		}
	})
}

func TestWebSocketCloseWaitsForAPeerOnlySoLong(t *testing.T) {
	drivers(t, func(t *testing.T, d driver) {
		server, client := tcpPair(t)
		e := d.connect(t, server, client)
		e.loop.Do(e.socket.Pause)
		e.loop.Do(e.socket.Close)
		peer := newReader(client)
		peer.want(t, "close:")
		peer.wantEOF(t)
		e.wantClosed(base.CauseForcedClose)
	})
}

func TestWebSocketAnswersAPeersClose(t *testing.T) {
	drivers(t, func(t *testing.T, d driver) {
		code := func(c ws.CloseCode) string { return string(binary.BigEndian.AppendUint16(nil, uint16(c))) }
		for _, tc := range []struct {
			name, payload, answer string
			cause                 base.Cause
		}{
			{"empty", "", "", base.CauseTransportClose},
			{"normal", code(1000) + "bye", code(1000), base.CauseTransportClose},
			{"application", code(4000), code(4000), base.CauseTransportClose},
			{"one byte", "\x03", code(1002), base.CauseTransportError},
			{"reserved code", code(1005), code(1002), base.CauseTransportError},
			{"reason not UTF-8", code(1000) + "\xff", code(1007), base.CauseTransportError},
		} {
			t.Run(tc.name, func(t *testing.T) {
				server, client := tcpPair(t)
				e := d.connect(t, server, client)
				e.send(ws.Close, tc.payload)
				peer := newReader(client)
				peer.want(t, "close:"+tc.answer)
				peer.wantEOF(t)
				e.wantClosed(tc.cause)
			})
		}
	})
}

func TestWebSocketRefusesBadFramesWithTheirCode(t *testing.T) {
	drivers(t, func(t *testing.T, d driver) {
		for _, tc := range []struct {
			name  string
			bytes []byte
			code  ws.CloseCode
		}{
			{"unmasked", ws.AppendFrame(nil, ws.Text, []byte("x")), ws.ProtocolFault},
			{"not UTF-8", masked(ws.Text, "\xff"), ws.InvalidPayload},
			{"too big", masked(ws.Text, strings.Repeat("x", testLimit+1))[:64], ws.TooBig},
		} {
			t.Run(tc.name, func(t *testing.T) {
				server, client := tcpPair(t)
				e := d.connect(t, server, client)
				if _, err := client.Write(tc.bytes); err != nil {
					t.Fatal(err)
				}
				peer := newReader(client)
				peer.want(t, "close:"+string(binary.BigEndian.AppendUint16(nil, uint16(tc.code))))
				peer.wantEOF(t) // at once: who breaks the protocol is owed no patience
				for range 2 {   // what it still sends is read and dropped: a reset could overtake the close frame
					var before int64
					e.loop.Do(func() { before = e.socket.LastRead() })
					if _, err := client.Write([]byte("more")); err != nil {
						t.Fatal(err)
					}
					for read := before; read == before && len(e.closed) == 0; {
						e.loop.Do(func() { read = e.socket.LastRead() })
					}
				}
				_ = client.Close()
				got := e.wantClosed(base.CauseTransportError)
				if fault, ok := errors.AsType[*ws.Error](got.err); !ok || fault.Code != tc.code {
					t.Errorf("error %v, want code %d", got.err, tc.code)
				}
			})
		}
	})
}

func TestWebSocketReportsHowAPeerLeft(t *testing.T) {
	t.Run("end of stream", func(t *testing.T) {
		carriers(t, func(t *testing.T, e *end) {
			if _, isTLS := e.peer.(interface{ CloseWrite() error }); isTLS {
				_ = e.peer.(interface{ CloseWrite() error }).CloseWrite()
			} else {
				_ = e.peer.Close()
			}
			e.wantClosed(base.CauseTransportClose)
		})
	})
	t.Run("reset", func(t *testing.T) {
		drivers(t, func(t *testing.T, d driver) {
			server, client := tcpPair(t)
			e := d.connect(t, server, client)
			reset(t, client)
			if got := e.wantClosed(base.CauseTransportError); got.err == nil {
				t.Error("no error")
			}
		})
	})
	t.Run("receiver refuses", func(t *testing.T) {
		drivers(t, func(t *testing.T, d driver) {
			server, client := tcpPair(t)
			e := d.connect(t, server, client)
			refusal := errors.New("refused")
			e.loop.Do(func() { e.refuse = refusal })
			if _, err := client.Write(append(masked(ws.Text, "a"), masked(ws.Text, "b")...)); err != nil {
				t.Fatal(err)
			}
			newReader(client).want(t, "close:")
			_ = client.Close()
			if got := e.wantClosed(base.CauseParseError); !errors.Is(got.err, refusal) {
				t.Errorf("error %v, want %v", got.err, refusal)
			}
			if len(e.messages) != 1 {
				t.Errorf("%d messages, want 1", len(e.messages))
			}
		})
	})
}

// fill writes whole frames until the connection takes no more, and reports
// whether it stands in the middle of one.
func (e *end) fill() (middle bool) {
	e.loop.Do(func() {
		frame := ws.AppendFrame(nil, ws.Binary, bytes.Repeat([]byte("w"), 8<<20))
		for e.socket.Window() > 0 {
			n, err := e.socket.Write(frame)
			if err != nil {
				e.t.Error(err)
			}
			middle = n > 0 && n < len(frame)
		}
	})
	return middle
}

func TestWebSocketAbortsInTheMiddleOfAFrame(t *testing.T) {
	drivers(t, func(t *testing.T, d driver) {
		for _, end := range []string{"abort", "close"} {
			t.Run(end, func(t *testing.T) {
				server, client := tcpPair(t)
				e := d.connect(t, server, client)
				if !e.fill() {
					t.Fatal("no frame was cut")
				}
				e.loop.Do(func() {
					if end == "close" {
						e.socket.Close() // no close frame may be written into the other
					}
					e.socket.Abort()
					e.socket.Abort()
				})
				e.wantClosed(base.CauseForcedClose)
				if got, err := io.ReadAll(client); err == nil && bytes.HasSuffix(got, []byte{0x88, 0}) {
					t.Error("a close frame was written in the middle of another")
				}
			})
		}
	})
}

func TestWebSocketWritesNoCloseFrameIntoAnotherFrame(t *testing.T) {
	drivers(t, func(t *testing.T, d driver) {
		server, client := tcpPair(t)
		e := d.connect(t, server, client)
		frame := ws.AppendFrame(nil, ws.Binary, bytes.Repeat([]byte("w"), 8<<20))
		given := 0
		e.loop.Do(func() {
			var err error
			if given, err = e.socket.Write(frame); err != nil || given == len(frame) {
				t.Errorf("write: %d of %d, %v", given, len(frame), err)
			}
		})
		got, err := io.ReadAll(io.LimitReader(client, int64(given)))
		if err != nil {
			t.Fatal(err)
		}
		<-e.room // a close frame would be taken now
		e.loop.Do(e.socket.Close)
		rest, err := io.ReadAll(client)
		if err != nil || len(rest) > 0 || !bytes.Equal(got, frame[:given]) {
			t.Errorf("the peer got %d bytes and then %x, %v; want the %d given", len(got), rest, err, given)
		}
		e.wantClosed(base.CauseForcedClose)
	})
}

func TestDriverCloseEndsEveryState(t *testing.T) {
	for _, state := range []string{"idle", "paused", "blocked", "closing"} {
		t.Run(state, func(t *testing.T) {
			server, client := tcpPair(t)
			e := goroutine.connect(t, server, client)
			switch state {
			case "paused":
				e.loop.Do(e.socket.Pause)
				e.send(ws.Text, "x")
			case "blocked":
				e.fill()
			case "closing":
				e.loop.Do(e.socket.Close)
			}
			e.driver.Close()
			e.driver.Close()
			<-e.closed
		})
	}
}

func TestClosedDriverTakesNoConnection(t *testing.T) {
	drivers(t, func(t *testing.T, d driver) {
		server, client := tcpPair(t)
		loop := d.loop(t, realTime())
		closed := transport.NewDriver()
		closed.Close()
		_, err := closed.WebSocket(transport.Upgraded{Conn: server}, &transport.WebSocketOptions{Loop: loop, Poller: loop.Poller, Now: realTime()})
		if !errors.Is(err, transport.ErrClosed) {
			t.Fatalf("a closed driver took a connection: %v", err)
		}
		newReader(client).wantEOF(t)
	})
}

func TestWebSocketOfALoopThatIsDoneLetsGo(t *testing.T) {
	drivers(t, func(t *testing.T, d driver) {
		server, client := tcpPair(t)
		e := d.connect(t, server, client)
		e.loop.Do(e.socket.Pause)
		if d == goroutine {
			e.send(ws.Text, "x")
			e.loop.Pass() // the reader may wait for its turn now
		}
		e.loop.Stop()
		newReader(client).wantEOF(t)
	})
}

func TestWebSocketWriteDoesNotAllocate(t *testing.T) {
	drivers(t, func(t *testing.T, d driver) {
		e, batch := d.drained(t)
		e.loop.Do(func() {
			got := testing.AllocsPerRun(200, func() {
				if n, err := e.socket.Write(batch); n != len(batch) || err != nil {
					t.Errorf("write: %d, %v", n, err)
				}
			})
			if got != 0 {
				t.Errorf("%v allocations per write", got)
			}
		})
	})
}

func BenchmarkWebSocketWrite(b *testing.B) {
	for _, d := range []driver{goroutine, epoll} {
		b.Run(string(d), func(b *testing.B) {
			e, batch := d.drained(b)
			b.SetBytes(int64(len(batch)))
			b.ReportAllocs()
			e.loop.Do(func() {
				for b.Loop() {
					if e.socket.Window() > 0 {
						if _, err := e.socket.Write(batch); err != nil {
							b.Error(err)
						}
					}
				}
			})
		})
	}
}

// drained is a websocket whose peer reads all it is sent.
func (d driver) drained(t testing.TB) (*end, []byte) {
	server, client := tcpPair(t)
	e := d.connect(t, server, client)
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(io.Discard, client)
	}()
	t.Cleanup(func() {
		_ = client.Close()
		<-read
	})
	return e, ws.AppendFrame(nil, ws.Text, []byte(strings.Repeat("p", 128)))
}
