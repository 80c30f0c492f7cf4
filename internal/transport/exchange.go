package transport

import (
	"context"
	"net/http"
	"sync/atomic"

	"github.com/streamweir/weir/internal/base"
)

// Exchange is one HTTP request that waits for a loop's answer: the HTTP
// goroutine makes it, posts it and waits; the loop answers.
type Exchange struct {
	answers chan Answer
	written atomic.Int64 // bytes of the response the connection has taken
}

// NewExchange returns an exchange that has not been answered.
func NewExchange() *Exchange {
	// A POST gets two answers, Continue and the final one; neither may block the loop.
	return &Exchange{answers: make(chan Answer, 2)}
}

// Answer is what the loop tells an HTTP goroutine to do. The zero value says
// Continue: the body of the POST is wanted.
type Answer struct {
	Status  int    // HTTP status
	Type    string // Content-Type; "": none, and no body
	Body    []byte // immutable
	Packets bool   // Body are packets: what becomes of them is reported back
	Packing base.Packing
	Parting bool // the session ends with it; who writes it says when that may be
}

// The answers of protocol.md 1.4.
var (
	Continue = Answer{}
	OK       = Answer{Status: http.StatusOK, Type: "text/html", Body: []byte("ok")}
)

// Refuse is an answer without a body.
func Refuse(status int) Answer { return Answer{Status: status} }

func packets(body []byte, how base.Packing) Answer {
	return Answer{Status: http.StatusOK, Type: "text/plain; charset=UTF-8", Body: body, Packets: true, Packing: how}
}

// Answer is called by the loop, at most once, or once more after Continue.
func (x *Exchange) Answer(a Answer) { x.answers <- a }

// Wait returns the next answer, or an error when the request or the loop ends
// first. The HTTP goroutine calls it.
func (x *Exchange) Wait(ctx context.Context, loop base.Loop) (Answer, error) {
	select {
	case a := <-x.answers:
		return a, nil
	case <-ctx.Done():
		return Answer{}, context.Cause(ctx)
	case <-loop.Done():
		return Answer{}, ErrClosed
	}
}
