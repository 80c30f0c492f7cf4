package loadtest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/streamweir/weir/internal/peer"
)

// Watch is slow clients of any Socket.IO server, each of which tells what it reads and how old that is: `weir slow`.
// It takes a goroutine for each client, so it is for hundreds; TLS works.
type Watch struct {
	Target        Target
	Clients       int
	Topic         string      // subscribed, and the event that counts; "" counts every event
	NoSubscribe   bool        // the event comes without asking
	Read          int         // bytes a second; 0: they stall, once they have subscribed
	ReceiveBuffer int         // bytes; 0: the kernel's
	Ack           bool        // acknowledge what carries a message id
	AgeField      string      // JSON pointer into the payload: a number, when it was made in ms since 1970; "": our own form
	TLS           *tls.Config // nil: the system's roots
}

// Problems are all that is wrong.
func (w *Watch) Problems() []Problem {
	problems := w.Target.problems()
	if w.AgeField != "" && !strings.HasPrefix(w.AgeField, "/") {
		problems = append(problems, Problem{"age-field", fmt.Sprintf("%q: want a JSON pointer, such as /time", w.AgeField)})
	}
	return problems
}

// Run lets the clients read until ctx ends, and calls show once a second and a last time at the end. The error is that
// of the target if it is refused or a first client does not get in.
func (w *Watch) Run(ctx context.Context, show func(View)) error {
	if problems := w.Problems(); len(problems) > 0 {
		return problems[0]
	}
	if err := w.Target.Admit(ctx); err != nil {
		return err
	}
	topic := w.Topic
	if w.NoSubscribe {
		topic = ""
	}
	if err := probe(ctx, w.Target, topic, peer.Options{TLS: w.TLS}); err != nil {
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil // interrupted, not refused
		}
		return err
	}
	readers := make([]*reader, w.Clients)
	var wg sync.WaitGroup
	for i := range readers {
		readers[i] = &reader{watch: w, topic: topic}
		wg.Go(func() { readers[i].run(ctx) })
	}
	began := time.Now()
	for tick := time.NewTicker(time.Second); ; {
		select {
		case <-tick.C:
			show(look(readers, time.Since(began)))
		case <-ctx.Done():
			tick.Stop()
			wg.Wait()
			show(look(readers, time.Since(began)))
			return nil
		}
	}
}

// reader is one of the clients. Its goroutine is run; look reads what it has seen.
type reader struct {
	watch *Watch
	topic string // to subscribe

	mu   sync.Mutex
	seen seen
}

// seen is what a reader has met, since it began unless it says otherwise.
type seen struct {
	connected bool
	gone      bool // sent away for good: official clients do not come back
	messages  int64
	bytes     int64 // of events
	newest    int64 // number of the newest message
	numbered  bool
	age       time.Duration // of the last message, when it was read
	aged      bool          // since the last look
	cut       map[string]int64
	failed    map[string]int64 // attempts to connect
}

// The official client's reconnects: 1 s, doubled with each failure up to 5 s, each spread by half of itself.
const (
	officialDelay    = time.Second
	officialDelayMax = 5 * time.Second
	officialJitter   = 0.5
)

// run connects, reads, and comes back after a cut, until ctx ends or the server has sent it away.
func (r *reader) run(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; {
		err := r.session(ctx, func() { failures = 0 })
		if ctx.Err() != nil || r.over(err) {
			return
		}
		delay := min(officialDelay<<min(failures, 10), officialDelayMax)
		failures++
		spread := 1 + officialJitter*(2*rand.Float64()-1)
		select {
		case <-time.After(time.Duration(float64(delay) * spread)):
		case <-ctx.Done():
		}
	}
}

// session is one connection; in is called once it is in.
func (r *reader) session(ctx context.Context, in func()) error {
	w := r.watch
	c, err := w.Target.dial(ctx, peer.Options{ReceiveBuffer: w.ReceiveBuffer, TLS: w.TLS})
	if err == nil {
		defer c.Close() //nolint:errcheck // it is over, whatever it says
		asking, cancel := context.WithTimeout(ctx, w.Target.Timeout)
		err = subscribe(asking, c, r.topic, w.Target.Namespace)
		cancel()
	}
	if err != nil {
		r.change(func(s *seen) { bump(&s.failed, reason(err)) })
		return err
	}
	in()
	r.change(func(s *seen) { s.connected = true })
	rate := w.Read
	if rate == 0 {
		rate = peer.Stalled
	}
	c.SetReadRate(rate)
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	err = c.Read(func(event string, args []byte) error { return r.take(c, event, args) })
	r.change(func(s *seen) {
		s.connected = false
		if ctx.Err() == nil {
			bump(&s.cut, reason(err))
		}
	})
	return err
}

// over reports whether a client stays away after an error: those of socket.io-client do when the server takes them out
// of the namespace or refuses it.
func (r *reader) over(err error) bool {
	var refused *peer.ConnectError
	gone := errors.Is(err, peer.ErrDisconnected) || errors.As(err, &refused)
	if gone {
		r.change(func(s *seen) { s.gone = true })
	}
	return gone
}

func (r *reader) change(f func(*seen)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.seen)
}

func bump(counts *map[string]int64, name string) {
	if *counts == nil {
		*counts = map[string]int64{}
	}
	(*counts)[name]++
}

// take books one event, and acknowledges it if that is wanted.
func (r *reader) take(c *peer.Conn, event string, args []byte) error {
	w := r.watch
	if w.Topic != "" && event != w.Topic {
		return nil
	}
	m := w.message(args, time.Now())
	r.change(func(s *seen) {
		s.messages++
		s.bytes += int64(len(args))
		if m.numbered {
			s.newest, s.numbered = m.number, true
		}
		if m.dated {
			s.age, s.aged = m.age, true
		}
	})
	if !w.Ack || m.id == "" {
		return nil
	}
	return c.Emit("ack", ackOf(event, m.id))
}

// reason is a short name for why a connection is over, of those people look for.
func reason(err error) string {
	var status *peer.StatusError
	var closed *peer.CloseError
	text := fmt.Sprint(err)
	switch {
	case err == nil:
		return "closed"
	case errors.As(err, &status):
		return fmt.Sprintf("http_%d", status.Status)
	case errors.As(err, &closed):
		return fmt.Sprintf("close_%d", closed.Code)
	case errors.Is(err, peer.ErrDisconnected):
		return "disconnect"
	case errors.Is(err, peer.ErrClosePacket):
		return "close packet"
	case strings.Contains(text, "refused"):
		return "refused"
	case strings.Contains(text, "reset") || strings.Contains(text, "broken pipe"):
		return "reset"
	case strings.Contains(text, "EOF"):
		return "eof"
	case strings.Contains(text, "timeout") || strings.Contains(text, "deadline"):
		return "timeout"
	}
	return text
}

// mostWatched bounds the clients: each has a goroutine and a buffer.
const mostWatched = 100_000

// Settings are w's by the names of flags; they change w.
func (w *Watch) Settings() []Setting {
	return append([]Setting{
		{Name: "clients", Usage: "`N` clients", Value: countValue(&w.Clients, 1, mostWatched)},
		{Name: "read", Usage: "`BYTES` a second each of them reads, such as 2KB/s", Value: byteRateValue(&w.Read)},
		{Name: "receive-buffer", Usage: "`BYTES` their kernel may hold: small, as on a slow link; 0: as it likes", Value: sizeValue(&w.ReceiveBuffer)},
		{Name: "topic", Usage: "`NAME` each client subscribes to, and of the event that counts; without it every event counts", Value: textValue(&w.Topic)},
		{Name: "no-subscribe", Usage: "the event comes without a subscribe", Value: boolValue(&w.NoSubscribe)},
		{Name: "ack", Usage: "acknowledge deliveries that ask for it", Value: boolValue(&w.Ack)},
		{Name: "age-field", Usage: "`POINTER` into the payload (/time): when it was made, in ms since 1970", Value: textValue(&w.AgeField)},
	}, w.Target.settings()...)
}
