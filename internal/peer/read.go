package peer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/streamweir/weir/internal/wire/sio"
	"github.com/streamweir/weir/internal/wire/ws"
)

// Event is an event of the server.
type Event struct {
	Name string
	Args []byte // raw JSON array, the name first
	ID   uint64 // of the answer it asks for, if Asks
	Asks bool
}

// Arguments are those of the event without its name, each as raw JSON. They are valid as long as Args.
func (e Event) Arguments() []json.RawMessage {
	all := sio.SplitArgs(e.Args, nil)
	args := make([]json.RawMessage, 0, len(all))
	for _, a := range all[min(1, len(all)):] {
		args = append(args, a)
	}
	return args
}

// kept is an event that came while nobody was there for it.
type kept struct {
	event Event
	size  int // bytes
}

// How many events are kept, and bytes of them, before Ask gives up.
const (
	maxKept      = 1000
	maxKeptBytes = 1 << 20
)

var errTooManyKept = fmt.Errorf("%d events or %d bytes came meanwhile and nobody reads them", maxKept, maxKeptBytes)

// Read calls on for each event until the connection ends, and answers pings on the way. args is the raw JSON array of
// the event's arguments, its name first, and valid during the call only. An error of on ends Read and is returned; the
// connection stays, and the next Read goes on behind that event. on must not call Read or Ask, which wait for it; it may
// call Emit, Answer and Close. After Close Read returns nil.
func (c *Conn) Read(on func(event string, args []byte) error) error {
	return c.ReadEvents(func(e Event) error { return on(e.Name, e.Args) })
}

// ReadEvents is Read for events that may ask for an answer: see Answer.
func (c *Conn) ReadEvents(on func(Event) error) error {
	c.takeTurn()
	return c.readEvents(on)
}

// Start is ReadEvents on a goroutine of its own. It begins before Start returns, so that no Ask comes to read after
// that: what the server sent before an answer has been given to on when Ask returns. ended is called with the result,
// last of all.
func (c *Conn) Start(on func(Event) error, ended func(error)) {
	c.takeTurn()
	go c.run(on, ended)
}

// run ends with the connection, or with an error of on.
func (c *Conn) run(on func(Event) error, ended func(error)) { ended(c.readEvents(on)) }

func (c *Conn) takeTurn() {
	select {
	case c.turn <- struct{}{}:
	case <-c.over:
		c.turn <- struct{}{} // whoever reads is about to leave
	}
}

// readEvents reads in the caller's turn, and gives it up.
func (c *Conn) readEvents(on func(Event) error) error {
	defer func() { <-c.turn }()
	for len(c.kept) > 0 {
		first := c.kept[0]
		c.kept = c.kept[1:]
		if err := on(first.event); err != nil {
			return err
		}
	}
	c.kept = nil
	c.on, c.stop = on, nil
	defer func() { c.on = nil }()
	for c.stop == nil {
		if err := c.step(); err != nil {
			if c.stop == nil && !errors.Is(err, net.ErrClosed) {
				return err
			}
			break
		}
	}
	return c.stop
}

// readUntil reads until done, or until ctx ends. The caller has the turn.
func (c *Conn) readUntil(ctx context.Context, done func() bool) error {
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = c.wire.SetReadDeadline(time.Unix(1, 0)) // fails on a closed connection only
		close(woken)
	})
	defer func() {
		if !stop() {
			<-woken
			_ = c.wire.SetReadDeadline(time.Time{})
		}
	}()
	for !done() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if c.tooManyKept() {
			return errTooManyKept
		}
		if err := c.step(); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
	return nil
}

func (c *Conn) tooManyKept() bool {
	size := 0
	for _, k := range c.kept {
		size += k.size
	}
	return len(c.kept) >= maxKept || size >= maxKeptBytes
}

// step is one read of the connection. A deadline is an error that leaves it as it is; any other ends it.
func (c *Conn) step() error {
	n, err := c.conn.Read(c.buf)
	if n > 0 {
		if fault := c.machine.Receive(c.buf[:n], (*events)(c)); fault != nil {
			err = fault
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded) && c.cause() == nil:
		return err
	case errors.Is(err, io.EOF):
		err = c.machine.End()
	}
	c.end(err)
	return c.cause()
}

// events is a Conn as the handler of its Machine.
type events Conn

// Send implements Handler.
func (e *events) Send(op ws.Opcode, payload []byte) error { return (*Conn)(e).send(op, payload) }

// Ready implements Handler.
func (e *events) Ready(data []byte) error {
	var in struct {
		SID string `json:"sid"`
	}
	if err := json.Unmarshal(data, &in); err != nil || in.SID == "" {
		return fmt.Errorf("no sid in the server's CONNECT: %.100q", data)
	}
	e.sid = in.SID
	return nil
}

// Packet implements Handler.
func (e *events) Packet(text []byte) error {
	p, err := sio.Parse(text)
	if err != nil {
		return err
	}
	switch {
	case string(p.Namespace) != e.script.namespace:
		return nil
	case p.Type == sio.Ack && p.HasID:
		e.answered(p.ID, p.Data)
		return nil
	case p.Type != sio.Event:
		return nil
	}
	return e.event(p)
}

// answered hands an answer to who asked; one that came too late is nobody's.
func (e *events) answered(id uint64, data []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if answer := e.asked[id]; answer != nil {
		delete(e.asked, id)
		answer <- bytes.Clone(data)
	}
}

func (e *events) event(p sio.Packet) error {
	raw := sio.SplitArgs(p.Data, nil)[0]
	if len(raw) != len(e.name)+2 || string(raw[1:len(raw)-1]) != e.name {
		name, err := sio.EventName(raw)
		if err != nil {
			return err
		}
		e.name = name
	}
	event := Event{Name: e.name, Args: p.Data, ID: p.ID, Asks: p.HasID}
	if e.on == nil || e.stop != nil {
		event.Args = bytes.Clone(event.Args)
		e.kept = append(e.kept, kept{event, len(event.Args)})
		return nil
	}
	e.stop = e.on(event)
	return nil
}
