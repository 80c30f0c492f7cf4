package systemtest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/wire/ws"
)

// nameplate is the topic of one stay of one client; no other is ever published to it.
type nameplate struct{ at atomic.Pointer[string] }

// TestNobodyReadsWhatIsAnothers is the pitfall of descriptors that are used again
// for somebody else: clients come and go at random, in every way there is, while
// messages are published to all of them and to those who have just left. Each client
// checks every frame it reads, so that one byte for the connection that had its
// descriptor before fails the test.
func TestNobodyReadsWhatIsAnothers(t *testing.T) {
	clients, rounds := 256, 24
	if heavy > 1 {
		rounds /= 4
	}
	o := feed(weir.TopicOptions{Name: "own:*", Max: weir.Limits{Messages: 8}})
	o.Shards = 2
	srv := start(t, o, func(s *weir.Server) {
		s.Namespace("/feed").On("leave", func(ctx context.Context, s *weir.Socket, _ *weir.Event) error { return s.CloseConnection(ctx) })
	})
	plates := make([]nameplate, clients)
	var over sync.WaitGroup
	done := make(chan struct{})
	for w := range 2 {
		over.Go(func() { publishToAll(t, srv, plates[w*clients/2:(w+1)*clients/2], done) })
	}
	seed := rand.Uint64()
	var stays sync.WaitGroup
	for i := range clients {
		stays.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(i)))
			for round := range rounds {
				name := fmt.Sprintf("own:%d.%d", i, round)
				if err := stay(addr(srv), name, &plates[i], rnd); err != nil {
					t.Errorf("seed %d, client %s: %v", seed, name, err)
					return
				}
			}
		})
	}
	stays.Wait()
	close(done)
	over.Wait()
	eventually(t, "all have gone", func() bool { return metric(t, srv, "weir_connections") == 0 })
}

// publishToAll publishes to every client in turn, and to those of its last stay.
func publishToAll(t *testing.T, srv *weir.Server, plates []nameplate, done <-chan struct{}) {
	for {
		for i := range plates {
			name := plates[i].at.Load()
			if name == nil {
				continue
			}
			if _, err := srv.Publish(context.Background(), "/feed", *name, map[string]string{"for": *name}); err != nil {
				t.Error(err)
				return
			}
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

// stay is one visit: connect, subscribe, read some messages, leave somehow.
func stay(address, name string, plate *nameplate, rnd *rand.Rand) error {
	c, err := dialLean(address, "/feed", leanOptions{})
	if err != nil {
		return fmt.Errorf("dial: %w", err)
	}
	defer func() { _ = c.conn.Close() }()
	if err := c.subscribe("/feed", name); err != nil {
		return err
	}
	plate.at.Store(&name)
	for range rnd.IntN(8) {
		if err := c.own(name); err != nil {
			return fmt.Errorf("while staying: %w", err)
		}
	}
	switch rnd.IntN(6) {
	case 0: // hangs up, with messages unread
		return nil
	case 1: // resets
		return c.conn.(*net.TCPConn).SetLinger(0)
	case 2: // ends its side and reads to the end
		if err := c.conn.(*net.TCPConn).CloseWrite(); err != nil {
			return err
		}
	case 3: // is sent away
		if err := c.send(`42/feed,["leave"]`); err != nil {
			return err
		}
	case 4: // says goodbye
		if err := c.frames(ws.Close, ""); err != nil {
			return err
		}
	case 5: // breaks the protocol
		if err := c.frames(ws.Text, "\xff"); err != nil {
			return err
		}
	}
	for {
		if err := c.own(name); err != nil {
			return leftWell(err)
		}
	}
}

// leftWell forgives the end of a connection; a reset is one, as what the client sent last may not have been read.
func leftWell(err error) error {
	fault, ok := errors.AsType[*net.OpError](err)
	if ok && !fault.Timeout() || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// own reads one message, which must be the client's own.
func (c *lean) own(name string) error {
	op, payload, err := c.message()
	if err != nil {
		return err
	}
	if string(payload) == "41/feed," { // it is sent away
		return nil
	}
	want := fmt.Appendf(nil, `42/feed,["%s",{"for":"%s"}`, name, name)
	if op != ws.Text || !bytes.HasPrefix(payload, want) {
		return fmt.Errorf("read what is another's: %d %.200q", op, payload)
	}
	return nil
}

// frames writes one frame of any kind.
func (c *lean) frames(op ws.Opcode, payload string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.conn.Write(ws.AppendMasked(nil, op, [4]byte{1, 2, 3, 4}, []byte(payload)))
	return err
}
