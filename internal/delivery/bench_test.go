package delivery_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
)

// sink is a connection whose kernel takes everything; they count their writes
// together. The shard owns it.
type sink struct{ writes *int }

func (k *sink) Window() int                                 { return wide }
func (k *sink) Write(p []byte, _ base.Packing) (int, error) { *k.writes++; return len(p), nil }
func (k *sink) Deflates() bool                              { return false }
func (k *sink) Control(dst []byte) []byte                   { return dst }
func (k *sink) Unsent() int                                 { return 0 }
func (k *sink) Cut(base.Cause)                              {}
func (k *sink) Reading(bool)                                {}

// audience is a hub of one shard with that many subscribers of "ticks".
func audience(b *testing.B, n int) (r *rig, writes *int) {
	r = newRig(b, options(1, topic("ticks", latest())))
	writes = r.subscribers(b, "ticks", n)
	return r, writes
}

// BenchmarkFanOut is publications to all, so many of them under way at a time,
// from Publish to the outlet. ns/delivery is what one costs one subscriber, and
// ms-step-p99.9 how long the longest steps of the loop are, as the bucket they fall in.
func BenchmarkFanOut(b *testing.B) {
	for _, x := range []struct{ subscribers, underWay int }{{1000, 16}, {10_000, 4}} {
		b.Run(fmt.Sprintf("subscribers=%d/under-way=%d", x.subscribers, x.underWay), func(b *testing.B) {
			r, writes := audience(b, x.subscribers)
			p := &delivery.Publication{Payload: []byte(fill(128))}
			var waiting []*delivery.Pending
			before := r.Shards()[0].Stats().Loop
			b.ReportAllocs()
			for b.Loop() {
				if len(waiting) == x.underWay {
					waiting[0].Receipt(context.Background())
					waiting = waiting[1:]
				}
				sent, err := r.Publish(context.Background(), r.ns, "ticks", p, true)
				if err != nil {
					b.Fatal(err)
				}
				waiting = append(waiting, sent)
			}
			r.settle()
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(x.subscribers), "ns/delivery")
			b.ReportMetric(float64(b.N)*float64(x.subscribers)/float64(*writes), "deliveries/write")
			turns := r.Shards()[0].Stats().Loop
			for i := range turns.Counts {
				turns.Counts[i] -= before.Counts[i]
			}
			b.ReportMetric(float64(turns.Quantile(0.999))/float64(time.Millisecond), "ms-step-p99.9")
		})
	}
}

// BenchmarkPublish is publications that are not waited for, by how many subscribe: to a best-effort topic, whose frames
// tell no position, and to a reliable one, whose lanes are full from the first few messages on, as nobody acknowledges.
func BenchmarkPublish(b *testing.B) {
	for _, name := range []string{"ticks", "sure"} {
		for _, subscribers := range []int{0, 1, 1000} {
			for _, size := range []int{128, 4096} {
				b.Run(fmt.Sprintf("%s/subscribers=%d/bytes=%d", name, subscribers, size), func(b *testing.B) {
					r := newRig(b, options(1, topic("ticks", latest()), topic("sure", certain())))
					r.subscribers(b, name, subscribers)
					p := &delivery.Publication{Payload: []byte(fill(size))}
					b.ReportAllocs()
					for b.Loop() {
						if _, err := r.Publish(context.Background(), r.ns, name, p, false); err != nil {
							b.Fatal(err)
						}
					}
					r.settle()
				})
			}
		}
	}
}

// subscribers opens that many on the first shard.
func (r *rig) subscribers(b *testing.B, topic string, n int) (writes *int) {
	sh, writes := r.Shards()[0], new(int)
	for range n { // a turn of the loop for each: the turns are measured
		r.on(sh, func() {
			c := sh.Open(&sink{writes}, &sink{writes})
			s := c.OpenSocket(r.ns, c.NewSocketID(), "", nil)
			if err := s.Subscribe(topic, delivery.SubscribeOptions{}, func(delivery.Subscription) {}); err != nil {
				b.Error(err)
			}
		})
	}
	return writes
}
