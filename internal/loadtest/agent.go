package loadtest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/streamweir/weir/internal/loadtest/swarm"
)

// The pipe of an agent: JSON, one message a line, both ways.
//
//	stdin   {"spec":{…}}  once, first
//	        {"order":{…}} | {"snapshot":true}   each is answered, in order
//	stdout  {"done":true,"error":"…"} | {"done":true,"snapshot":[…]}
//	        {"delivered":12}                    in between, by itself
//
// The agent ends with its stdin, so it never outlives whoever started it.

// request is a line to an agent.
type request struct {
	Spec     *swarm.Spec `json:"spec,omitempty"`
	Order    *order      `json:"order,omitempty"`
	Snapshot bool        `json:"snapshot,omitempty"`
}

// response is a line from an agent.
type response struct {
	Done      bool             `json:"done,omitempty"`
	Error     string           `json:"error,omitempty"`
	Snapshot  []swarm.Snapshot `json:"snapshot,omitempty"`
	Delivered *int64           `json:"delivered,omitempty"`
}

// RunAgent is a process of a fleet: it does what in says and answers on out until in ends.
func RunAgent(in io.Reader, out io.Writer) error {
	if _, err := raiseDescriptors(); err != nil {
		return err
	}
	requests := json.NewDecoder(bufio.NewReader(in))
	a := &agent{out: json.NewEncoder(out), end: make(chan struct{})}
	var first request
	if err := requests.Decode(&first); err != nil {
		return fmt.Errorf("read the spec: %w", err)
	}
	if first.Spec == nil {
		return errors.New("want a spec first")
	}
	l, err := newLocal(*first.Spec)
	if answerErr := a.answer(response{Done: true, Error: text(err)}); answerErr != nil || err != nil {
		return errors.Join(err, answerErr)
	}
	a.clients = l
	a.wg.Go(a.run)
	err = a.serve(requests)
	close(a.end)
	a.wg.Wait()
	return errors.Join(err, l.Close())
}

// agent is the far end of the pipe.
type agent struct {
	clients fleet
	end     chan struct{}
	wg      sync.WaitGroup

	mu  sync.Mutex // writes
	out *json.Encoder
}

// serve answers requests until they end.
func (a *agent) serve(requests *json.Decoder) error {
	for {
		var r request
		if err := requests.Decode(&r); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read a request: %w", err)
		}
		if err := a.answer(a.do(r)); err != nil {
			return err
		}
	}
}

func (a *agent) do(r request) response {
	var snapshot []swarm.Snapshot
	var err error
	switch {
	case r.Order != nil:
		err = a.clients.Do(*r.Order)
	case r.Snapshot:
		snapshot, err = a.clients.Snapshot()
	default:
		err = errors.New("a request without content")
	}
	return response{Done: true, Error: text(err), Snapshot: snapshot}
}

func (a *agent) answer(r response) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.out.Encode(r); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	return nil
}

// run passes on how far the clients are, until the agent ends or nobody listens.
func (a *agent) run() {
	for {
		select {
		case n := <-a.clients.Delivered():
			if a.answer(response{Delivered: &n}) != nil {
				return
			}
		case <-a.end:
			return
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
