package redis_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/streamweir/weir/cluster"
	"github.com/streamweir/weir/internal/redistest"
)

// BenchmarkAppend is one entry of 128 bytes, by how many come in one call, from 16 goroutines on as many logs.
func BenchmarkAppend(b *testing.B) {
	for _, batch := range []int{1, 16, 128} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			m := joinBench(b)
			var data [][]byte
			for range batch {
				data = append(data, make([]byte, 128))
			}
			b.SetParallelism(8)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				log := fmt.Sprintf("log %p", pb)
				for n := 0; pb.Next(); n++ {
					if n%batch != 0 {
						continue
					}
					if _, err := m.Append(context.Background(), log, cluster.AppendOptions{Keep: 10_000}, data...); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// BenchmarkPublish is one message of 128 bytes that nobody hears, from 1,600 goroutines.
func BenchmarkPublish(b *testing.B) {
	m := joinBench(b)
	data := make([]byte, 128)
	b.SetParallelism(800)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := m.Publish(context.Background(), "x", data); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func joinBench(b *testing.B) cluster.Member {
	b.Helper()
	s := redistest.Start(b, "--appendonly", "no")
	m, err := open(b, s.Addr(), "").Join(b.Context(), "a", newEar())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(m.Close)
	return m
}
