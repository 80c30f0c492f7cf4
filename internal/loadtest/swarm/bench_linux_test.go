package swarm_test

import (
	"fmt"
	"testing"

	"github.com/streamweir/weir/internal/loadtest/swarm"
)

// BenchmarkReceive is what the loop spends on a delivery, in CPU time of its own thread: with one message in each read,
// as a server sends that does not batch, and with ten.
func BenchmarkReceive(b *testing.B) {
	const clients = 100
	for _, batch := range []int{1, 10} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			f := listen(b).serve()
			h := gather(b, feed(f.url()), swarm.Group{Name: "g", Clients: clients})
			h.allReady("g")
			h.Snapshot()
			numbers := make([]int, batch)
			next := 0
			for b.Loop() {
				for i := range numbers {
					numbers[i] = next
					next++
				}
				f.deliver(numbers...)
				for int(<-h.Delivered()) < next-1 {
				}
			}
			s := h.Snapshot()[0]
			b.ReportMetric(float64(s.Loop.Busy.Nanoseconds())/float64(s.Deliveries), "busy-ns/delivery")
			b.ReportMetric(float64(s.Deliveries)/b.Elapsed().Seconds(), "deliveries/s")
		})
	}
}
