package link

import "github.com/streamweir/weir/internal/engineio"

// rareClient is what few clients have.
type rareClient struct {
	shake *engineio.Handshake // nil if nobody can ask for it; does not change
	waiting
}

// waiting is what waits for somebody else at a connection, or because of them.
type waiting struct {
	undecided []Socket   // asked to join a namespace, and others decide: see entrance.go
	pauses    int        // reasons not to read: see backlog.go
	backlog   []message  // what had been read when reading was held: at most one batch
	catching  bool       // the backlog is being handled, so it is neither forgotten nor begun anew
	reading   *reading   // the large message that a reader has; it is one of the pauses
	tokens    bool       // a socket's token ends some day: see mortal.go
	inflow    *inflow    // what the client has sent, for limits: see inflow.go; nil: nothing to keep
	enrolled  *enrolment // who its sockets have proved to be, where that is counted: see enrolment.go; nil: nobody
	leaving   bool       // what it had sent is dealt with for the last time
}

// nothing reports whether it can be forgotten.
func (w *waiting) nothing() bool {
	return len(w.undecided) == 0 && w.pauses == 0 && len(w.backlog) == 0 && !w.catching && w.reading == nil && !w.tokens && w.enrolled == nil && w.inflow.nothing()
}

// waiting returns what waits, nil if nothing does.
func (c *Client) waiting() *waiting {
	if x := c.rare.Load(); x != nil {
		return &x.waiting
	}
	return nil
}

// toWait returns what waits, to be added to. Whoever takes something out of it calls tidy.
func (c *Client) toWait() *waiting {
	if c.rare.Load() == nil {
		c.rare.Store(new(rareClient))
	}
	return c.waiting()
}

// tidy forgets what waits once nothing does.
func (c *Client) tidy() {
	if x := c.rare.Load(); x != nil && x.shake == nil && x.nothing() {
		c.rare.Store(nil)
	}
}

// Handshake is what is known of the request, nil if it was not kept.
//
//weir:any
func (c *Client) Handshake() *engineio.Handshake {
	if x := c.rare.Load(); x != nil {
		return x.shake
	}
	return nil
}

// Waits reports whether anything of the client waits but the end of a token.
func (c *Client) Waits() bool {
	w := c.waiting()
	return w != nil && (w.pauses > 0 || len(w.undecided)+len(w.backlog) > 0)
}
