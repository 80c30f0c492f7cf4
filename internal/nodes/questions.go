package nodes

import (
	"context"
	"errors"
	"sync"
	"time"
)

// The bounds of questions.
const (
	maxAsked     = 1024     // that wait for answers at the same time
	maxAnswering = 64       // of others, that are being answered here: beyond that a question is left alone
	maxAnswers   = 64 << 20 // bytes of the answers to one question: who has no room is missing
	maxAnswer    = 4 << 20  // bytes of one of them: more at a time is too much for a broker that many nodes answer through
)

// ErrBusy says that too many questions wait for answers already.
var ErrBusy = errors.New("too many questions to other nodes wait for answers")

// Answer is what a node has answered.
type Answer struct {
	Node Node
	Data []byte
}

// QuestionOptions are those of Questions.
type QuestionOptions struct {
	// Send gives an answer to the node that has asked, by its id. It may wait as long as ctx allows.
	Send func(ctx context.Context, to string, data []byte) error

	// Claim counts bytes of answers that are not there yet, and reports whether they may be; Hold counts bytes more, or less.
	// Both are called with a lock held.
	Claim func(bytes int) bool
	Hold  func(bytes int)
}

// Question is what a node asks others.
type Question struct {
	Of   []Node
	Data []byte
	Send func(ctx context.Context, data []byte) error // gives data to all nodes; it may wait as long as ctx allows
	Use  func([]Answer)                               // has what was answered, which counts as held until it returns
}

// Questions are those of a node to all others, and its answers. Any goroutine may call any method.
type Questions struct {
	self    string
	opts    QuestionOptions
	life    context.Context
	end     context.CancelFunc
	running sync.WaitGroup
	seats   chan struct{} // one for each question that is being answered

	mu     sync.Mutex
	number uint64
	asked  map[uint64]*question
	closed bool
}

// question is one that waits for answers.
type question struct {
	missing map[string]Node // who has not answered
	waits   map[string]bool // of those, who may still
	answers []Answer
	bytes   int
	done    chan struct{} // closed when it waits for nobody
}

// NewQuestions returns the questions of a node, by its id, until Close.
func NewQuestions(self string, o QuestionOptions) *Questions {
	q := &Questions{self: self, opts: o, seats: make(chan struct{}, maxAnswering), asked: make(map[uint64]*question)}
	q.life, q.end = context.WithCancel(context.Background())
	return q
}

// Patience is how long answers are waited for at most.
const Patience = time.Minute

// Ask asks nodes, and waits until all have answered or are gone, ctx ends or Patience is over; then it has the answers
// used, and returns who has not answered. A nil error with nodes that are missing is a partial answer. Answers have room
// for 64 MiB together, each for an equal part of it, 4 MiB at most.
//
// Errors: ErrBusy: nobody was asked; that of Send: perhaps nobody was.
func (q *Questions) Ask(ctx context.Context, o Question) (missing []Node, err error) {
	x := &question{missing: make(map[string]Node, len(o.Of)), waits: make(map[string]bool, len(o.Of)), done: make(chan struct{})}
	for _, n := range o.Of {
		x.missing[n.ID], x.waits[n.ID] = n, true
	}
	number, err := q.enter(x)
	if err != nil {
		return nil, err
	}
	defer q.leave(x)
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	l := letter{from: q.self, number: number, left: timeLeft(ctx), most: min(maxAnswer, maxAnswers/max(len(o.Of), 1)), data: o.Data}
	if err = o.Send(ctx, l.append(nil)); err == nil && len(o.Of) > 0 {
		select {
		case <-x.done:
		case <-ctx.Done():
		case <-q.life.Done():
		}
	}
	q.drop(number)
	if err != nil {
		return nil, err
	}
	for _, n := range o.Of {
		if _, is := x.missing[n.ID]; is {
			missing = append(missing, n)
		}
	}
	o.Use(x.answers)
	return missing, nil
}

// Tell is data for others that nobody answers: their Hear begins it.
func (q *Questions) Tell(data []byte) []byte {
	l := letter{from: q.self, data: data}
	return l.append(nil)
}

// timeLeft is how long somebody waits, Patience at most.
func timeLeft(ctx context.Context) time.Duration {
	left := Patience
	if at, ok := ctx.Deadline(); ok {
		left = min(left, max(time.Until(at), time.Millisecond))
	}
	return left
}

func (q *Questions) enter(x *question) (number uint64, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.asked) >= maxAsked {
		return 0, ErrBusy
	}
	q.number++
	q.asked[q.number] = x
	return q.number, nil
}

// drop has nothing more come to a question.
func (q *Questions) drop(number uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.asked, number)
}

// leave counts the answers to a question, which was dropped, as held no more.
func (q *Questions) leave(x *question) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.opts.Hold(-x.bytes)
}

// Gone says that a node is not there any more: it is waited for no longer, and stays missing.
func (q *Questions) Gone(n Node) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, x := range q.asked {
		x.endLocked(n.ID)
	}
}

// endLocked waits for a node no longer.
func (x *question) endLocked(id string) {
	if !x.waits[id] {
		return
	}
	if delete(x.waits, id); len(x.waits) == 0 {
		close(x.done)
	}
}

// Begin takes what another node, by its id, asks or tells, and returns how it is answered, or nil: there is no answer, which
// whoever asks is told. That is called on a goroutine of its own, many at a time, unless too many are: ctx ends when nobody waits
// any more, and the answer has at most that many bytes. Where nobody waits for it, or too many do, it is called by Hear, with
// a ctx that has ended: then it waits for nothing, and lets go of what it has begun.
type Begin func(from string, asked []byte) (answer func(ctx context.Context, most int) []byte)

// Hear takes what another node asks or tells, begins it, and has it answered if it is asked.
func (q *Questions) Hear(data []byte, begin Begin) {
	l, err := parseLetter(data)
	if err != nil || l.from == q.self {
		return
	}
	answer := begin(l.from, l.data)
	l.data = nil // what begin keeps of it, begin counts
	if l.number != 0 && q.seat(&l, answer) {
		return
	}
	if answer != nil { // whoever asks is told that this node has not answered
		ctx, end := context.WithCancel(q.life)
		end()
		answer(ctx, 0)
	}
}

// seat has a question answered, unless too many are.
func (q *Questions) seat(l *letter, answer func(context.Context, int) []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	select {
	case q.seats <- struct{}{}:
		q.running.Go(func() { q.answer(l, answer) })
		return true
	default:
		return false
	}
}

// answer answers a question, in a goroutine of its own; Close waits for it.
func (q *Questions) answer(l *letter, answer func(context.Context, int) []byte) {
	defer func() { <-q.seats }()
	ctx, cancel := context.WithTimeout(q.life, l.left)
	defer cancel()
	var data []byte
	if answer != nil {
		data = answer(ctx, l.most)
	}
	if ctx.Err() != nil {
		return // nobody waits any more
	}
	if len(data) > l.most {
		data = nil // there is an answer, and no room for it
	}
	back := letter{from: q.self, number: l.number, data: data}
	_ = q.opts.Send(ctx, l.from, back.append(nil)) // if it does not go, this node is missing there
}

// HearAnswer takes what another node has answered to this one. One without data says that there is none.
func (q *Questions) HearAnswer(data []byte) {
	l, err := parseLetter(data)
	if err != nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	x := q.asked[l.number]
	if x == nil {
		return // it comes too late
	}
	n, is := x.missing[l.from]
	if is && len(l.data) > 0 && x.bytes+len(l.data) <= maxAnswers && q.opts.Claim(len(l.data)) {
		x.bytes += len(l.data)
		x.answers = append(x.answers, Answer{n, l.data})
		delete(x.missing, l.from)
	}
	x.endLocked(l.from)
}

// Close ends what is under way, and waits for it. It may be called twice.
func (q *Questions) Close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.end()
	q.running.Wait()
}
