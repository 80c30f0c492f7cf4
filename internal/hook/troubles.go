package hook

import (
	"sync"
	"time"
)

// tellEvery is how often a failure of one kind is logged at most; the figures have each.
const tellEvery = time.Minute

// troubles are what was logged of failures.
type troubles struct {
	tellMu sync.Mutex
	told   [results]time.Time
	untold [results]int // since
}

// tellFailure logs a failure of the backend, of each kind once a minute: never a line for each client.
func (c *Caller) tellFailure(why *Failure) {
	if why == nil || !why.Result.fails() {
		return
	}
	now := time.Now()
	c.tellMu.Lock()
	due := now.Sub(c.told[why.Result]) >= tellEvery
	more := c.untold[why.Result]
	if due {
		c.told[why.Result], c.untold[why.Result] = now, 0
	} else {
		c.untold[why.Result]++
	}
	c.tellMu.Unlock()
	if due {
		c.o.Log.Error("hook failed: whoever waited for the answer is told so", "hook", c.o.Name, "result", why.Result.String(), "error", why.Cause, "more_since_last", more)
	}
}

// tellState logs a change of the breaker. Two that are a moment apart may be logged in the other order.
func (c *Caller) tellState(before, after BreakerState) {
	switch {
	case before == after, after == Probing:
	case after == Open && before == Closed:
		c.o.Log.Error("hook not asked for a while: its backend does not answer", "hook", c.o.Name, "calls", c.o.After, "pause_ms", c.o.Pause.Milliseconds())
	case after == Closed:
		c.o.Log.Info("hook asked again: its backend answers", "hook", c.o.Name)
	}
}
