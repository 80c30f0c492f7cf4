package transport

import "sync"

// Reads take a small buffer while a connection is quiet and a large one while
// its reads fill it, so that ten thousand clients that send at once pin
// megabytes, not hundreds of them.
const (
	smallBuffer = 4 << 10
	largeBuffer = 32 << 10
)

// buffer is pooled memory with one owner at a time, who releases it once.
type buffer struct {
	data []byte     // its length is the content's
	pool *sync.Pool // nil: left to the collector
}

var (
	smallBuffers = sync.Pool{New: func() any { return &buffer{data: make([]byte, smallBuffer)} }}
	largeBuffers = sync.Pool{New: func() any { return &buffer{data: make([]byte, largeBuffer)} }}
)

// takeBuffer returns a buffer of size bytes, smallBuffer or largeBuffer.
func takeBuffer(size int) *buffer {
	pool := &smallBuffers
	if size > smallBuffer {
		pool = &largeBuffers
	}
	b := pool.Get().(*buffer)
	b.pool = pool
	b.data = b.data[:cap(b.data)]
	return b
}

func (b *buffer) release() {
	if b.pool != nil {
		b.pool.Put(b)
	}
}
