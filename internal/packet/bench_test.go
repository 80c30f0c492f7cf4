package packet_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/packet"
)

// BenchmarkPlaced is what a publisher does for the frame of a delivery: all of it but the message and the order. In js and
// envelope it tells its position, so the number comes in between; plain ones tell none.
func BenchmarkPlaced(b *testing.B) {
	for _, x := range []struct {
		name     string
		form     base.Form
		reliable bool
		binary   bool
	}{
		{"plain", base.Plain, false, false}, {"js", base.Plain, true, false},
		{"envelope", base.Envelope, true, false}, {"binary", base.Plain, true, true},
	} {
		for _, size := range []int{128, 4096} {
			b.Run(fmt.Sprintf("%s/bytes=%d", x.name, size), func(b *testing.B) {
				payload := append(append([]byte{'"'}, bytes.Repeat([]byte{'x'}, size-2)...), '"')
				b.ReportAllocs()
				offset := uint64(1_000_000)
				for b.Loop() {
					var made struct {
						m base.Message
						p packet.Publication
					}
					made.p = packet.Publication{Payload: payload, Binary: x.binary, Reliable: x.reliable}
					made.m.Init(&made.p)
					made.m.Namespace, made.m.Topic, made.m.ID = "/feed", "prices.AAPL", "mJ3k9zq0Pa7"
					made.p.Prepare(&made.m, x.form, "q8Zt0bR2")
					offset++
					made.p.Place(&made.m, "q8Zt0bR2", offset)
					made.m.Frame(x.form)
				}
			})
		}
	}
}
