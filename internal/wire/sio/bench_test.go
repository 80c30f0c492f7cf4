package sio_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/wire/sio"
)

var smallEvent = []byte(`2/chat,12["message",{"room":"general","text":"hello, world","n":42}]`)

func BenchmarkParse(b *testing.B) {
	b.SetBytes(int64(len(smallEvent)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sio.Parse(smallEvent); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseBinary(b *testing.B) {
	text := []byte(`52-["upload",{"_placeholder":true,"num":0},{"thumb":{"_placeholder":true,"num":1}}]`)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sio.Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSplitArgs(b *testing.B) {
	p, err := sio.Parse(smallEvent)
	if err != nil {
		b.Fatal(err)
	}
	var args [][]byte
	b.ReportAllocs()
	for b.Loop() {
		args = sio.SplitArgs(p.Data, args[:0])
	}
}

// BenchmarkJSON compares the scanner with the one it replaces.
func BenchmarkJSON(b *testing.B) {
	item := []byte(`{"id":12345,"name":"item name with some text","price":12.5,"tags":["a","b"],"ok":true},`)
	data := append(append([]byte("["), bytes.Repeat(item, 100)...), "null]"...)
	b.Run("CheckJSON", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			if err := sio.CheckJSON(data); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding/json.Valid", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			if !json.Valid(data) {
				b.Fatal("invalid")
			}
		}
	})
}

func BenchmarkAppendEvent(b *testing.B) {
	h := sio.EventHeader{Namespace: "/chat", ID: 12, HasID: true}
	name, arg := []byte(`"message"`), []byte(`{"room":"general","text":"hello, world"}`)
	buf := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		buf = sio.AppendEvent(buf[:0], h, name, arg)
	}
}

// BenchmarkParseLarge is what the longest message a server takes by default costs at worst.
func BenchmarkParseLarge(b *testing.B) {
	for _, c := range []struct{ name, head, item string }{
		{"numbers", `2["x",`, `1,`},
		{"empty arrays", `2["x",`, `[],`},
		{"objects", `2["x",`, `{"":1},`},
		{"strings", `2["x",`, `"",`},
		{"placeholders", `51-["x",`, `{"_placeholder":true,"num":0},`},
	} {
		b.Run(c.name, func(b *testing.B) {
			text := []byte(c.head + strings.Repeat(c.item, (1_000_000-20)/len(c.item)) + `1]`)
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := sio.Parse(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
