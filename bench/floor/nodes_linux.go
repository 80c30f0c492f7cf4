package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/cluster"
	"github.com/streamweir/weir/cluster/redis"
	"github.com/streamweir/weir/internal/loadtest/report"
	"github.com/streamweir/weir/internal/sharedlog"
	"github.com/streamweir/weir/internal/topiclog"
)

// What tells nodes and redis apart from what is measured of them.
const (
	alonePart = 4      // of the duration, this part is spent with one message under way
	logKeeps  = 10_000 // records, as a server's topics do
)

// pair is two nodes of a cluster in this process: what a publishes, b hears.
type pair struct {
	a, b  *ear
	plan  plan
	life  context.Context
	where string
}

// ear is a node's listener.
type ear struct {
	cluster.Member
	messages atomic.Int64
	one      chan struct{} // has room for one: a message came
	logs     *sharedlog.Logs
}

// Message implements cluster.Listener.
func (e *ear) Message(string, []byte) { e.hear() }

func (e *ear) hear() {
	e.messages.Add(1)
	select {
	case e.one <- struct{}{}:
	default:
	}
}

// Entries implements cluster.Listener.
func (e *ear) Entries(log string, list []cluster.Entry) { e.logs.Entries(log, list) }

// Lapsed implements cluster.Listener.
func (e *ear) Lapsed() { e.logs.Lapsed() }

// Changed implements cluster.Listener.
func (*ear) Changed(cluster.State) {}

// meet makes two nodes at the Redis of a plan.
func meet(ctx context.Context, p plan) (*pair, error) {
	b, err := redis.New(redis.Options{URL: "redis://" + p.to})
	if err != nil {
		return nil, err
	}
	q := &pair{plan: p, life: ctx, where: "redis at " + p.to}
	for _, at := range []**ear{&q.a, &q.b} {
		e := &ear{one: make(chan struct{}, 1), logs: sharedlog.NewLogs()}
		if e.Member, err = b.Join(ctx, "bench", e); err != nil {
			q.close()
			return nil, err
		}
		*at = e
	}
	return q, nil
}

func (q *pair) close() {
	for _, e := range []*ear{q.a, q.b} {
		if e != nil {
			e.Close()
		}
	}
}

// nodes has each of p.clients publish a message, and the next when the engine has it; one node publishes, the other hears. Then
// one alone publishes, and waits until it is heard.
func nodes(p plan) (*report.Run, error) {
	q, err := meet(context.Background(), p)
	if err != nil {
		return nil, err
	}
	defer q.close()
	if err := q.b.Subscribe(q.life, "bench"); err != nil {
		return nil, err
	}
	data := make([]byte, p.size)
	r, err := q.measure("message", func() error { return q.a.Publish(q.life, "bench", data) })
	if err != nil {
		return nil, err
	}
	r.Title = fmt.Sprintf("%d publishers, each with one message of %d B under way, heard by another node", p.clients, p.size)
	return r, nil
}

// order is nodes for records of one topic that has its log at the broker: a publisher goes on when his record has its place and was
// delivered on his node.
func order(p plan) (*report.Run, error) {
	q, err := meet(context.Background(), p)
	if err != nil {
		return nil, err
	}
	defer q.close()
	var logs []*sharedlog.Log
	defer func() {
		for _, l := range logs {
			l.Close()
		}
	}()
	for _, e := range []*ear{q.a, q.b} {
		l, err := e.logs.Open(q.life, e, sharedlog.Options{Namespace: "/bench", Topic: "orders", Keep: logKeeps, Deliver: func(p topiclog.Placement) {
			if p.Record != nil {
				e.hear()
			}
		}})
		if err != nil {
			return nil, err
		}
		logs = append(logs, l)
		if err := l.Follow(q.life); err != nil {
			return nil, err
		}
	}
	payload := make([]byte, p.size)
	r, err := q.measure("record", func() error {
		_, later, err := logs[0].Append(&topiclog.Record{ID: "m", Payload: payload})
		if err == nil {
			_, err = later.Wait(q.life)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	r.Title = fmt.Sprintf("%d publishers, each with one record of %d B under way on one topic", p.clients, p.size)
	return r, nil
}

// measure has many publish, then one. What is counted is what the other node has heard.
func (q *pair) measure(what string, publish func() error) (*report.Run, error) {
	var all sync.WaitGroup
	var failed atomic.Pointer[error]
	var sent atomic.Int64
	over := make(chan struct{})
	for range q.plan.clients {
		all.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				if err := publish(); err != nil {
					failed.CompareAndSwap(nil, &err)
					return
				}
				sent.Add(1)
			}
		})
	}
	time.Sleep(warmUp)
	from, started := q.b.messages.Load(), time.Now()
	time.Sleep(q.plan.duration)
	heard, took := q.b.messages.Load()-from, time.Since(started)
	close(over)
	all.Wait()
	if err := failed.Load(); err != nil {
		return nil, fmt.Errorf("publish: %w", *err)
	}
	for until := time.Now().Add(answerPatience); q.b.messages.Load() < sent.Load() && time.Now().Before(until); {
		time.Sleep(time.Millisecond)
	}
	came := q.b.messages.Load()
	alone, err := q.alone(publish)
	if err != nil {
		return nil, err
	}
	return &report.Run{
		Scenario: what + "s between nodes", Target: q.where,
		Verdicts: []report.Verdict{{OK: came == sent.Load(), Text: fmt.Sprintf("%d of %d %ss were heard by the other node", came, sent.Load(), what)}},
		Figures: []report.Figure{
			{Name: what + "s/s", Value: float64(heard) / took.Seconds(), Unit: "/s", Main: true},
			{Name: "alone, until heard, p50", Value: alone.Seconds() * 1000, Unit: "ms", Main: true},
		},
	}, nil
}

// alone is the median of the times from publishing a message until the other node has heard it, with no other under way.
func (q *pair) alone(publish func() error) (time.Duration, error) {
	var took []time.Duration
	select {
	case <-q.b.one:
	default:
	}
	for end := time.Now().Add(q.plan.duration / alonePart); len(took) == 0 || time.Now().Before(end); {
		started := time.Now()
		if err := publish(); err != nil {
			return 0, fmt.Errorf("publish alone: %w", err)
		}
		select {
		case <-q.b.one:
		case <-time.After(answerPatience):
			return 0, errors.New("what one has published alone is not heard")
		}
		took = append(took, time.Since(started))
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}
