package ask_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/ask"
	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
)

func answer(text string) delivery.Answer { return delivery.Answer{Args: []byte(text)} }

// ample is room for all answers of a test.
func ample() ask.Keep {
	return ask.Keep{Most: 1 << 20, Claim: func(int) bool { return true }, Hold: func(int) {}}
}

// begin returns a question through two shards.
func begin(ctx context.Context, t *testing.T, stopped <-chan struct{}) (*ask.Question, context.Context) {
	t.Helper()
	q, ctx, cancel := ask.New(ctx, 7, 2, stopped, ample())
	t.Cleanup(cancel)
	if q.ID() != 7 {
		t.Errorf("ack id %d, want 7", q.ID())
	}
	return q, ctx
}

func TestQuestionIsOverWithTheLastAnswerOfTheLastShard(t *testing.T) {
	q, ctx := begin(t.Context(), t, nil)
	a, b, c := &delivery.Socket{ID: "a"}, &delivery.Socket{ID: "b"}, &delivery.Socket{ID: "c"}
	buffer := []byte(`["yes",1]`)
	q.Sent(a)
	q.Answered(a, delivery.Answer{Args: buffer})
	clear(buffer) // valid during the call only
	q.Answered(c, answer(`["not asked"]`))
	q.Shard()
	q.Sent(b)
	q.Answered(b, delivery.Answer{Err: delivery.ErrClosed})
	q.Answered(b, answer(`["twice"]`))
	q.Shard()
	replies, err := q.Wait(ctx)
	if err != nil || len(replies) != 2 {
		t.Fatalf("%d replies, %v; want 2", len(replies), err)
	}
	var said string
	if err := replies[0].Args.Decode(&said); replies[0].Socket != "a" || err != nil || said != "yes" {
		t.Errorf("the first reply: %+v, %q, %v", replies[0], said, err)
	}
	if r := replies[1]; r.Socket != "b" || !errors.Is(r.Err, delivery.ErrClosed) || !errors.Is(r.Err, &base.Error{Code: base.CodeDisconnected}) {
		t.Errorf("the second reply: %+v", r)
	}
	if q.Sent(c) {
		t.Error("somebody is asked after it was over")
	}
}

func TestQuestionToNobodyIsOverAtOnce(t *testing.T) {
	q, ctx := begin(t.Context(), t, nil)
	q.Shard()
	q.Shard()
	if replies, err := q.Wait(ctx); err != nil || replies != nil {
		t.Errorf("%v, %v", replies, err)
	}
}

func TestQuestionEndsWithItsTimeOrTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, ctx := begin(context.Background(), t, nil)
		asked := time.Now()
		if _, err := q.Wait(ctx); !errors.Is(err, &base.Error{Code: base.CodeTimeout}) || time.Since(asked) != 30*time.Second {
			t.Errorf("without a deadline: %v after %v, want a time-out after 30 s", err, time.Since(asked))
		}
		short, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		q, ctx = begin(short, t, nil)
		asked = time.Now()
		if _, err := q.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(asked) != time.Minute {
			t.Errorf("with a deadline: %v after %v, want a minute", err, time.Since(asked))
		}
		stopped := make(chan struct{})
		q, ctx = begin(context.Background(), t, stopped)
		close(stopped)
		if _, err := q.Wait(ctx); !errors.Is(err, &base.Error{Code: base.CodeDraining}) {
			t.Errorf("of a server that has stopped: %v", err)
		}
	})
}

// Clients answer as much as they like: what has no room among the answers, or in memory, is told and not kept, and what was
// counted is given back.
func TestAnswersHaveRoomForSoMuch(t *testing.T) {
	held, limit := 0, 10_000
	room := ask.Keep{Most: 5000, Hold: func(n int) { held += n }, Claim: func(n int) bool {
		if held+n > limit {
			return false
		}
		held += n
		return true
	}}
	for most, want := range map[int]int{10_000: 4, 2500: 2, 100: 0} {
		limit = most
		q, ctx, cancel := ask.New(t.Context(), 7, 1, nil, room)
		t.Cleanup(cancel)
		for range 10 {
			s := new(delivery.Socket)
			q.Sent(s)
			q.Answered(s, delivery.Answer{Args: make([]byte, 600), Attachments: [][]byte{make([]byte, 400)}})
		}
		q.Shard()
		replies, err := q.Wait(ctx)
		fit := 0
		for _, r := range replies {
			if r.Err == nil {
				fit++
			} else if !errors.Is(r.Err, &base.Error{Code: base.CodeTooLarge}) {
				t.Error(r.Err)
			}
		}
		if err != nil || len(replies) != 10 || fit != want || held != 0 {
			t.Errorf("%d of memory: %d of %d answers were kept, %d bytes are held, %v; want %d", most, fit, len(replies), held, err, want)
		}
	}
}
