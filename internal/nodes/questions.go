package nodes

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"time"
)

// The bounds of questions.
const (
	maxAsked     = 1024     // that wait for answers at the same time
	maxAnswering = 64       // of others, that are being answered here: beyond that a question is left alone
	maxAnswers   = 64 << 20 // bytes of the answers to one question: who has no room is missing
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
	// Send gives data to a node, by its id, or with "" to all. It may wait as long as ctx allows.
	Send func(ctx context.Context, to string, data []byte) error

	// Answer is called on goroutines, many at a time, with what another node asks; ctx ends when nobody waits for the
	// answer any more.
	Answer func(ctx context.Context, asked []byte) []byte

	// Hold counts bytes of answers more, or less, with a lock held.
	Hold func(bytes int)
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

// Ask asks nodes, and waits until all have answered or are gone, or ctx ends; then it returns what has been answered, and who has
// not. A nil error with nodes that are missing is a partial answer.
//
// Errors: ErrBusy, that of Send: nobody was asked.
func (q *Questions) Ask(ctx context.Context, of []Node, data []byte) (answers []Answer, missing []Node, err error) {
	if len(of) == 0 {
		return nil, nil, nil
	}
	x := &question{missing: make(map[string]Node, len(of)), waits: make(map[string]bool, len(of)), done: make(chan struct{})}
	for _, n := range of {
		x.missing[n.ID], x.waits[n.ID] = n, true
	}
	number, err := q.enter(x)
	if err != nil {
		return nil, nil, err
	}
	defer q.leave(number)
	if err := q.opts.Send(ctx, "", appendQuestion(nil, q.self, number, timeLeft(ctx), data)); err != nil {
		return nil, nil, err
	}
	select {
	case <-x.done:
	case <-ctx.Done():
	case <-q.life.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, n := range of {
		if _, is := x.missing[n.ID]; is {
			missing = append(missing, n)
		}
	}
	return x.answers, missing, nil
}

// timeLeft is how long somebody waits, a minute at most.
func timeLeft(ctx context.Context) time.Duration {
	left := time.Minute
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

func (q *Questions) leave(number uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.opts.Hold(-q.asked[number].bytes)
	delete(q.asked, number)
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

// HearQuestion takes what another node asks, and has it answered.
func (q *Questions) HearQuestion(data []byte) {
	from, number, left, asked, err := parseQuestion(data)
	if err != nil || from == q.self {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	select {
	case q.seats <- struct{}{}:
		q.running.Go(func() { q.answer(from, number, left, asked) })
	default: // whoever asks is told that this node has not answered
	}
}

func (q *Questions) answer(to string, number uint64, left time.Duration, asked []byte) {
	defer func() { <-q.seats }()
	ctx, cancel := context.WithTimeout(q.life, left)
	defer cancel()
	data := q.opts.Answer(ctx, asked)
	if ctx.Err() != nil {
		return // nobody waits any more
	}
	_ = q.opts.Send(ctx, to, appendQuestion(nil, q.self, number, 0, data)) // if it does not go, this node is missing there
}

// HearAnswer takes what another node has answered to this one.
func (q *Questions) HearAnswer(data []byte) {
	from, number, _, answer, err := parseQuestion(data)
	if err != nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	x := q.asked[number]
	if x == nil {
		return // it comes too late
	}
	if n, is := x.missing[from]; is && x.bytes+len(answer) <= maxAnswers {
		q.opts.Hold(len(answer))
		x.bytes += len(answer)
		x.answers = append(x.answers, Answer{n, answer})
		delete(x.missing, from)
	}
	x.endLocked(from)
}

// Close ends what is under way, and waits for it. It may be called twice.
func (q *Questions) Close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.end()
	q.running.Wait()
}

// The form of a question and of an answer: version, kind, who sends it, the number of the question, the milliseconds
// that its asker waits, the rest.
const kindQuestion = 3

func appendQuestion(b []byte, from string, number uint64, left time.Duration, data []byte) []byte {
	b = append(b, version, kindQuestion)
	b = append(binary.AppendUvarint(b, uint64(len(from))), from...)
	b = binary.AppendUvarint(b, number)
	b = binary.AppendUvarint(b, uint64(left.Milliseconds())) //nolint:gosec // not negative
	return append(b, data...)
}

func parseQuestion(b []byte) (from string, number uint64, left time.Duration, data []byte, err error) {
	if len(b) < 2 || b[0] != version || b[1] != kindQuestion {
		return "", 0, 0, nil, errForm
	}
	b = b[2:]
	size, used := binary.Uvarint(b)
	if used <= 0 || size > maxText || size > uint64(len(b)-used) {
		return "", 0, 0, nil, errForm
	}
	from, b = string(b[used:used+int(size)]), b[used+int(size):]
	number, used = binary.Uvarint(b)
	if used <= 0 {
		return "", 0, 0, nil, errForm
	}
	b = b[used:]
	ms, used := binary.Uvarint(b)
	if used <= 0 || ms > uint64(time.Minute.Milliseconds()) {
		return "", 0, 0, nil, errForm
	}
	return from, number, time.Duration(ms) * time.Millisecond, b[used:], nil //nolint:gosec // at most a minute
}
