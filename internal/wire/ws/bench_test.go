package ws_test

import (
	"fmt"
	"testing"

	"github.com/streamweir/weir/internal/wire/ws"
)

func BenchmarkMask(b *testing.B) {
	for _, n := range []int{16, 128, 4096, 65536} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			buf := make([]byte, n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				ws.Mask(buf, testKey, 1)
			}
		})
	}
}

func BenchmarkAppendFrame(b *testing.B) {
	payload := make([]byte, 200)
	buf := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		buf = ws.AppendFrame(buf[:0], ws.Text, payload)
	}
}

func BenchmarkDecoder(b *testing.B) {
	tests := []struct {
		name    string
		payload int
		cut     int // bytes of a read; 0: all at once
	}{{"whole/64", 64, 0}, {"whole/1000", 1000, 0}, {"cut/1000", 1000, 700}}
	for _, tt := range tests {
		b.Run(tt.name, func(b *testing.B) {
			frame := ws.AppendMasked(nil, ws.Text, [4]byte{}, make([]byte, tt.payload))
			d := ws.NewDecoder(1<<20, ws.Server)
			h := discard{}
			b.SetBytes(int64(tt.payload))
			b.ReportAllocs()
			for b.Loop() {
				if err := d.Decode(frame[:tt.cut], h); err != nil {
					b.Fatal(err)
				}
				if err := d.Decode(frame[tt.cut:], h); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
