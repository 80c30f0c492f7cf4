// Package turns shares the steps of a loop between the connections that have sent something: what one of them may have
// done in one step is bounded, and so is what all may. The rest waits for the steps that follow, behind those who come
// with something new. It is pure (architecture.md D6) and belongs to one goroutine.
//
//	step:  something new of a, b, c …  ──> up to a Share each, up to a Step together
//	       the rest of b, d, a …       ──> a turn each, as long as the Step lasts; one at least
package turns

// The costs of work, in units of about a nanosecond: a byte read and unmasked costs 1.
const (
	Inflated     = 4       // a byte of a compressed message
	Frame        = 64      // a frame, or what has come of one
	Message      = 1 << 10 // an Engine.IO message, beside its bytes
	Parsed       = 4       // a byte of a message, beside its reading
	Handshake    = 32 << 10
	Subscription = 8 << 10 // a subscribe or unsubscribe, beside its message
)

// Share is what one connection may have done in one turn, Step what all may in one step of the loop. Either is exceeded by
// one message, or one slice of one that is inflated.
const (
	Share = 64 << 10
	Step  = 1 << 20
)

// Taker is a connection that has more to do than its share.
type Taker interface {
	// Turn does up to a Share and reports whether there is more.
	Turn() (more bool)
}

// Turns are those of one loop. The methods of nil do nothing and set no bound.
type Turns struct {
	spent int // in this step
	line  []Taker
	first int // of line
}

// Begin begins a step.
func (t *Turns) Begin() { t.spent = 0 }

// Spend counts work.
func (t *Turns) Spend(units int) {
	if t != nil {
		t.spent += units
	}
}

// Spent is what was counted in this step: the beginning of a turn, for Enough.
func (t *Turns) Spent() int {
	if t == nil {
		return 0
	}
	return t.spent
}

// Enough reports whether a turn that began at Spent has had its share.
func (t *Turns) Enough(began int) bool { return t != nil && t.spent-began >= Share }

// Over reports whether nothing new is to be begun in this step: as long as others wait, newcomers have half of it.
func (t *Turns) Over() bool {
	return t != nil && (t.spent >= Step || t.spent >= Step/2 && t.Waiting() > 0)
}

// Add puts a taker behind those that wait. It must not wait already.
func (t *Turns) Add(x Taker) { t.line = append(t.line, x) }

// Waiting is how many wait.
func (t *Turns) Waiting() int { return len(t.line) - t.first }

// Run gives those that wait a turn each, in their order, until the step is spent; the first in any case. It returns how
// many had one.
func (t *Turns) Run() (n int) {
	for most := t.Waiting(); n < most && (n == 0 || t.spent < Step); n++ {
		x := t.line[t.first]
		t.line[t.first] = nil
		t.first++
		if x.Turn() {
			t.line = append(t.line, x)
		}
	}
	switch {
	case t.Waiting() == 0:
		t.line, t.first = t.line[:0], 0
	case t.first > len(t.line)/2:
		k := copy(t.line, t.line[t.first:])
		clear(t.line[k:])
		t.line, t.first = t.line[:k], 0
	}
	return n
}
