package swarm

import (
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/streamweir/weir/internal/peer"
	"github.com/streamweir/weir/internal/wheel"
	"github.com/streamweir/weir/internal/wire/ws"
)

const (
	maxRest        = 1 << 20         // bytes a client has unsent before it gives up on its server
	partingTime    = 5 * time.Second // for the server to close after a client has said goodbye
	stepsPerSecond = 4               // reads a second of a client with a rate, when there is always something to read
)

// state is where a client is: see the package comment.
type state uint8

const (
	idle state = iota // its turn has not come
	connecting
	shaking // connected, not ready
	ready
	waiting // to come back
	leaving
	left
	gone
	states
)

// client is one connection and the next. It implements peer.Handler and wheel.Expirer.
type client struct {
	group   *group
	machine peer.Machine
	timer   wheel.Timer
	rest    []byte   // frames the kernel has not taken
	emitter *emitter // nil unless the group emits and this one has been ready
	seen    sequence
	began   int64 // nanos of connect()
	due     int64 // nanos of the next read of a client with a rate; 0: when something comes
	fd      int32 // -1: none
	index   int32 // in the group
	answers int32 // to subscribe requests, still to come
	state   state
	watched interest
	fails   uint8 // attempts in a row
	counted bool  // in the ledger
}

func (c *client) to(s state) {
	c.group.counts[c.state]--
	c.group.counts[s]++
	c.state = s
}

// dial begins a connection.
func (c *client) dial() {
	l := c.group.loop
	c.began = nanos()
	c.to(connecting)
	c.machine = peer.NewMachine(l.script)
	c.after(l.spec.Timeout)
	fd, connected, err := l.server.connect(l.source(), c.group.spec.ReceiveBuffer)
	if err != nil {
		c.end(reason(err))
		return
	}
	c.fd, c.watched = int32(fd), wantWrite
	if connected {
		c.watched = wantRead
	}
	if err := l.poller.add(fd, c.group.index, int(c.index), c.watched); err != nil {
		c.end(reason(err))
		return
	}
	if connected {
		c.shake()
	}
}

// shake sends the opening handshake.
func (c *client) shake() {
	l := c.group.loop
	c.to(shaking)
	l.out = c.machine.Begin(l.out)
	c.settle(nil)
}

// ready takes what the poller found.
func (c *client) ready(what readiness) {
	switch {
	case c.state == connecting:
		if err := pendingError(int(c.fd)); err != nil {
			c.end(reason(err))
			return
		}
		c.shake()
		return
	case what&broken != 0 && c.watched&wantRead == 0:
		err := pendingError(int(c.fd))
		if err == nil {
			c.end("eof")
			return
		}
		c.end(reason(err))
		return
	case what&hungUp != 0 && what&canRead == 0:
		c.end("eof")
		return
	}
	if what&canWrite != 0 && c.rest != nil {
		if c.settle(nil); c.fd < 0 {
			return
		}
	}
	if what&(canRead|broken) != 0 {
		c.read()
	}
}

// read is one read of the socket and everything that follows from it.
func (c *client) read() {
	l := c.group.loop
	into := l.in
	rate := c.rate()
	if rate > 0 {
		into = into[:min(max(rate/stepsPerSecond, 1), len(into))]
	}
	n, err := readSocket(int(c.fd), into)
	l.now = nanos()
	switch {
	case err != nil:
		c.finish(err)
		return
	case n == 0:
		c.due = 0
		c.settle(nil)
		return
	}
	c.group.stats.Bytes += int64(n)
	if c.state == leaving {
		return // it has said goodbye
	}
	err = c.machine.Receive(into[:n], c)
	if rate > 0 {
		c.due = l.now + int64(n)*int64(time.Second)/int64(rate)
	}
	c.settle(err)
}

// finish is the end of the stream: err is io.EOF or the kernel's.
func (c *client) finish(err error) {
	var refused *peer.StatusError
	if over := c.machine.End(); errors.Is(err, io.EOF) || errors.As(over, &refused) {
		err = over
	}
	c.end(reason(err))
}

// rate is what the client may read at now: 0 as it comes, else bytes a second or Stalled.
func (c *client) rate() int {
	if c.state != ready {
		return 0
	}
	return c.group.spec.ReadRate
}

// settle ends a step: it sends what the step had to say, and then watches and waits for what comes next, or ends the
// connection if the step failed.
func (c *client) settle(failed error) {
	err := c.flush()
	if failed != nil {
		err = failed
	}
	if err != nil {
		c.end(reason(err))
		return
	}
	watch := wantRead
	switch rate := c.rate(); {
	case rate == Stalled:
		watch = wantHangup
	case rate > 0 && c.due != 0:
		watch = 0
	}
	if c.rest != nil {
		watch |= wantWrite
	}
	if watch != c.watched {
		if err := c.group.loop.poller.change(int(c.fd), c.group.index, int(c.index), watch); err != nil {
			c.end(reason(err))
			return
		}
		c.watched = watch
	}
	if c.state == ready {
		c.schedule()
	}
}

// schedule sets the timer of a ready client to whatever is first.
func (c *client) schedule() {
	when := c.due
	if next := c.nextEmit(); next != 0 && (when == 0 || next < when) {
		when = next
	}
	w := c.group.loop.wheel
	switch {
	case when == 0:
		w.Stop(&c.timer)
	case !c.timer.Armed() || c.timer.When() != when:
		w.Schedule(&c.timer, when)
	}
}

// after sets the timer of a client that is not ready.
func (c *client) after(d time.Duration) {
	l := c.group.loop
	l.wheel.Schedule(&c.timer, nanos()+int64(d))
}

// Expire implements wheel.Expirer.
func (c *client) Expire(_ *wheel.Timer, now int64) {
	switch c.state {
	case connecting, shaking:
		c.expireAttempt()
	case waiting:
		c.dial()
	case leaving:
		c.end("timeout")
	case ready:
		c.group.loop.now = max(c.group.loop.now, now)
		c.emitDue()
		if c.due != 0 && c.due <= now {
			c.read()
			return
		}
		c.settle(nil)
	default: // waits for nothing
	}
}

// expireAttempt gives an attempt up. A refusal whose body did not end is a refusal.
func (c *client) expireAttempt() {
	var refused *peer.StatusError
	if err := c.machine.End(); errors.As(err, &refused) {
		c.end(reason(refused))
		return
	}
	c.end("timeout")
}

// flush sends the loop's out, behind what the client has unsent.
func (c *client) flush() error {
	l := c.group.loop
	b := l.out
	if c.rest != nil {
		c.rest = append(c.rest, l.out...)
		b = c.rest
	}
	l.out = l.out[:0]
	if len(b) == 0 {
		return nil
	}
	n, err := writeSocket(int(c.fd), b)
	switch {
	case err != nil:
		return err
	case n == len(b):
		c.rest = nil
	case len(b)-n > maxRest:
		return errUnread
	case c.rest != nil:
		c.rest = append(c.rest[:0], b[n:]...)
	default:
		c.rest = append([]byte(nil), b[n:]...)
	}
	return nil
}

// cut closes without a word.
func (c *client) cut() {
	resetSocket(int(c.fd))
	c.fd = -1
	c.end("cut")
}

// leave begins to close in order.
func (c *client) leave() {
	switch c.state {
	case leaving, left, gone:
		return
	case ready:
	default:
		c.release()
		c.to(left)
		return
	}
	c.uncount()
	c.to(leaving)
	c.after(partingTime)
	l := c.group.loop
	l.out = append(l.out, l.words.bye...)
	c.settle(nil)
}

// end is the end of a connection or attempt, for a reason. The client comes back, or not.
func (c *client) end(why string) {
	was := c.state
	c.uncount()
	c.release()
	switch was {
	case leaving:
		c.to(left)
		return
	case ready:
		count(c.group.stats.Lost, why)
	default:
		count(c.group.stats.Failures, why)
	}
	r := c.group.spec.Reconnect
	if r == nil || c.group.leaving || final(why) {
		c.to(gone)
		return
	}
	c.to(waiting)
	c.after(r.wait(c.fails, c.group.loop.random.Float64()))
	c.fails = min(c.fails+1, maxDoublings)
}

// maxDoublings of a delay are beyond every DelayMax.
const maxDoublings = 62

// wait is how long a client waits before the attempt after so many that failed. chance is from [0, 1).
func (r *Reconnect) wait(fails uint8, chance float64) time.Duration {
	wait := float64(r.Delay) * float64(uint64(1)<<fails)
	wait += wait * r.Jitter * (2*chance - 1)
	return time.Duration(min(wait, float64(r.DelayMax)))
}

// release gives up the connection and what was held for it.
func (c *client) release() {
	l := c.group.loop
	if c.fd >= 0 {
		closeSocket(int(c.fd))
		c.fd = -1
	}
	l.wheel.Stop(&c.timer)
	l.out = l.out[:0]
	c.machine = peer.NewMachine(l.script)
	c.rest, c.seen, c.due, c.watched, c.answers = nil, sequence{}, 0, 0, 0
	if c.emitter != nil {
		c.emitter.reset()
	}
}

// Send implements peer.Handler.
func (c *client) Send(op ws.Opcode, payload []byte) error {
	l := c.group.loop
	l.out = ws.AppendMasked(l.out, op, maskKey, payload)
	return nil
}

// Ready implements peer.Handler: the client is in the namespace, and subscribes.
func (c *client) Ready([]byte) error {
	l := c.group.loop
	c.answers = int32(len(l.spec.Subscribe))
	if c.answers == 0 {
		c.begin()
		return nil
	}
	l.out = append(l.out, l.words.subscribe...)
	return nil
}

// begin makes the client ready.
func (c *client) begin() {
	l := c.group.loop
	l.wheel.Stop(&c.timer)
	c.to(ready)
	c.fails = 0
	c.group.stats.Connects++
	record(c.group.stats.ConnectTime, (l.now-c.began)/1000)
	c.count()
	c.beginEmit()
}

// subscribed takes the answer to a subscribe request.
func (c *client) subscribed(args []byte) error {
	if c.answers == 0 {
		return nil
	}
	var answer []struct {
		OK   bool   `json:"ok"`
		Code string `json:"code"`
	}
	if err := json.Unmarshal(args, &answer); err != nil || len(answer) == 0 {
		return &subscribeError{"unreadable"}
	}
	if !answer[0].OK {
		return &subscribeError{answer[0].Code}
	}
	if c.answers--; c.answers == 0 {
		c.begin()
	}
	return nil
}
