// Package op is what is done to the sockets of a namespace, or asked of them, as a value (architecture.md
// D13, ADR 0014): the same value goes to the loops of this node and, encoded, to other nodes. What
// comes of it is a value too. It is pure.
package op

import (
	"errors"
	"fmt"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/roster"
)

// Kind is what an operation does.
type Kind uint8

// The kinds. Their numbers are on the wire between nodes: they never change their meaning.
const (
	Emit       Kind = iota + 1 // an event is sent
	Ask                        // an event is sent that each socket is to answer
	Join                       // the sockets are put into rooms
	Leave                      // they are taken out of rooms
	Disconnect                 // they are sent away
	Fetch                      // they are named, or described
	ServerSide                 // an event is for the application on the other nodes, and no socket

	kinds = int(ServerSide) + 1
)

var kindNames = [kinds]string{"none", "emit", "ask", "join", "leave", "disconnect", "fetch", "server-side"}

func (k Kind) String() string {
	if int(k) < kinds {
		return kindNames[k]
	}
	return fmt.Sprintf("unknown(%d)", k)
}

// Op is one operation on the sockets of a namespace that a target means at the moment when its
// turn comes. It does not change once it is under way.
type Op struct {
	Kind      Kind
	Namespace string
	Target    roster.Target
	Only      Only          // not of Emit, Ask and ServerSide
	Wait      time.Duration // for how long anybody wants to know what came of it; 0: not said, and of Emit nobody does

	Event    Event      // of Emit, Ask and ServerSide
	Rooms    []string   // of Join and Leave
	Describe bool       // of Fetch: rooms and address are wanted too
	Cause    base.Cause // of Disconnect: see Causes

	// Of Disconnect. Transport, with CauseServerDisconnect, closes the connection too, when all its
	// sockets have left their namespaces. Reason, with CauseForbidden and CauseTokenExpired, is told to the client.
	Transport bool
	Reason    string
}

// Only narrows a target by what a roster does not know.
type Only struct {
	Topic   string // those who subscribe to this topic
	Address string // those whose connection comes from this address
	Token   string // those that have proved who they are by the token of this id
}

// Event is the event that is emitted.
type Event struct {
	Data        []byte // a JSON array: the event's name and its arguments, with placeholders for attachments
	Attachments [][]byte
	Volatile    bool // worth nothing where the connection does not take it at once
	Verbatim    bool // not to be compressed on the way
}

// Causes are those for which a Disconnect sends sockets away:
//
//	CauseServerDisconnect   DISCONNECT: the socket leaves its namespace, and official clients do not come back
//	CauseForbidden          the same, after weir:error with the reason
//	CauseTokenExpired       the same: the client may come back with a fresh token
//	CauseAdmin              the connection is closed once what was sent before is written: clients come back
var Causes = []base.Cause{base.CauseServerDisconnect, base.CauseForbidden, base.CauseTokenExpired, base.CauseAdmin}

// ErrInvalid says that an operation has what its kind does not have, or lacks what it must have.
var ErrInvalid = errors.New("invalid operation")

// Valid reports what is wrong with an operation.
func (o *Op) Valid() error {
	events := o.Kind == Emit || o.Kind == Ask || o.Kind == ServerSide
	switch {
	case o.Kind == 0 || int(o.Kind) >= kinds:
		return fmt.Errorf("%w: kind %s", ErrInvalid, o.Kind)
	case o.Namespace == "":
		return fmt.Errorf("%w: no namespace", ErrInvalid)
	case o.Wait < 0:
		return fmt.Errorf("%w: wait %s", ErrInvalid, o.Wait)
	case events != (len(o.Event.Data) > 0):
		return fmt.Errorf("%w: %s with %d bytes of an event", ErrInvalid, o.Kind, len(o.Event.Data))
	case !events && (o.Event.Attachments != nil || o.Event.Volatile || o.Event.Verbatim):
		return fmt.Errorf("%w: %s with what belongs to an event", ErrInvalid, o.Kind)
	case events && o.Only != (Only{}):
		return fmt.Errorf("%w: %s only for a topic, an address or a token", ErrInvalid, o.Kind)
	case o.Kind == ServerSide && o.Target.Narrows():
		return fmt.Errorf("%w: %s for sockets", ErrInvalid, o.Kind)
	case o.Rooms != nil && o.Kind != Join && o.Kind != Leave:
		return fmt.Errorf("%w: %s with rooms", ErrInvalid, o.Kind)
	case o.Describe && o.Kind != Fetch:
		return fmt.Errorf("%w: %s with descriptions", ErrInvalid, o.Kind)
	}
	return o.validDeparture()
}

// validDeparture reports what is wrong with what belongs to Disconnect.
func (o *Op) validDeparture() error {
	if o.Kind != Disconnect {
		if o.Cause != 0 || o.Transport || o.Reason != "" {
			return fmt.Errorf("%w: %s with what belongs to a disconnect", ErrInvalid, o.Kind)
		}
		return nil
	}
	switch o.Cause {
	case base.CauseServerDisconnect:
		if o.Reason == "" {
			return nil
		}
	case base.CauseForbidden, base.CauseTokenExpired:
		if !o.Transport {
			return nil
		}
	case base.CauseAdmin:
		if !o.Transport && o.Reason == "" {
			return nil
		}
	default: // no other cause sends sockets away
	}
	return fmt.Errorf("%w: disconnect for %s, transport %t, reason %q", ErrInvalid, o.Cause, o.Transport, o.Reason)
}

// Outcome is what came of an operation on one node.
type Outcome struct {
	Done    int           // sockets it was done to, or that were found or asked; of Emit, with a Wait, those meant
	Skipped int           // of Join: sockets that may not be in so many rooms: they are in as many of those named as fit
	Short   int           // of Join: sockets for which memory is short: they are in some of the rooms named
	Sockets []Description // of Fetch
	Answers []Answer      // of Ask: of some of those asked, where Partial; of ServerSide: one, of no socket
	Met     Met           // of Emit, with a Wait
	Partial bool          // the wait was over before everybody had done their part: what was begun goes on
}

// Met is what an event has met at the lanes of those it was meant for.
type Met struct {
	Queued    int // it waits there
	Coalesced int // of them, in the place of an older one, under a topic's name
	Dropped   int // older ones, to make room
	Rejected  int // by full lanes
}

// Add adds what came of the same operation elsewhere.
func (o *Outcome) Add(more *Outcome) {
	o.Done += more.Done
	o.Skipped += more.Skipped
	o.Short += more.Short
	o.Sockets = append(o.Sockets, more.Sockets...)
	o.Answers = append(o.Answers, more.Answers...)
	o.Met.Queued += more.Met.Queued
	o.Met.Coalesced += more.Met.Coalesced
	o.Met.Dropped += more.Met.Dropped
	o.Met.Rejected += more.Met.Rejected
	o.Partial = o.Partial || more.Partial
}

// Description is a socket that was fetched.
type Description struct {
	ID        string
	Principal string
	Address   string   // "" unless described
	Rooms     []string // its own first; nil unless described
}

// Answer is what one socket answered, or why there is no answer.
type Answer struct {
	Socket      string
	Args        []byte // a JSON array, with placeholders for attachments
	Attachments [][]byte
	Code        string // of the table in docs/errors.md; "": it has answered
	Reason      string // in words, with Code
}
