package admin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/streamweir/weir/internal/base"
)

// How far the reader of a batch may be ahead of its answers: beyond that no more
// lines are read.
const (
	chunkLines = 64 // lines whose results are handed over together
	maxChunks  = 3
)

// firstByte is how long the answer's header waits for the first byte of a body of
// unknown length: who sends none before the header gets it then.
const firstByte = 50 * time.Millisecond

// flushAt is how many bytes of answers are written without waiting for more.
const flushAt = 16 << 10

// batch is one POST /api/publish/batch: the caller's goroutine reads lines and
// publishes them one after the other, runAnswers waits for the outcomes in the same
// order and writes the result lines. Results are handed over many at a time, and
// before the reader has to wait for lines.
//
//	body -> lines -> publish -> chunk -> results (bounded) -> answer -> response
type batch struct {
	api     *api
	w       http.ResponseWriter
	r       *http.Request
	who     caller
	control *http.ResponseController
	opened  sync.Once // whether the answer is to be a stream is decided
	lines   lines
	chunk   []result
	results chan []result
	free    chan []result

	// Of runAnswers.
	out    []byte
	broken error // the caller does not read any more
}

// result is what became of one line.
type result struct {
	publication
	err error
}

// publishBatch serves POST /api/publish/batch: NDJSON in, one result line for each
// line that is not blank, in order and as soon as it is known. A bad line is
// answered with an error line and the rest goes on; one longer than MaxBody ends
// the batch, since where the next begins is not known. A JSON array is refused.
func (a *api) publishBatch(w http.ResponseWriter, r *http.Request, who caller) error {
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	b := &batch{
		api: a, w: w, r: r, who: who, control: http.NewResponseController(w),
		results: make(chan []result, maxChunks), free: make(chan []result, maxChunks),
	}
	b.lines = lines{body: r.Body, most: int(a.MaxBody), wait: b.handOver, b: *buffer}
	// HTTP/2 is full duplex anyway, and a recorder in a test holds all of it.
	_ = b.control.EnableFullDuplex()
	if strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		w.WriteHeader(http.StatusContinue) // net/http forgets it once there is a final header
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	var wg sync.WaitGroup
	wg.Add(1)
	go b.runAnswers(ctx, cancel, &wg)
	err := b.read(ctx)
	close(b.results)
	wg.Wait()
	return err
}

// read publishes line by line until the body ends, ctx ends, or a line is too long.
// An error is one before any answer.
func (b *batch) read(ctx context.Context) error {
	stop := context.AfterFunc(ctx, b.interrupt)
	defer stop()
	if err := b.start(); err != nil {
		return err
	}
	t := workspaces.Get().(*workspace)
	defer workspaces.Put(t)
	for ctx.Err() == nil {
		line, err := b.lines.next()
		if err != nil {
			b.end(ctx, err)
			return nil
		}
		if len(line) > 0 {
			p, err := t.begin(ctx, b.api, &b.who, line)
			b.api.debugPublish(ctx, t, b.who, &p, err)
			b.put(result{p, err})
		}
	}
	b.end(ctx, ctx.Err())
	return nil
}

// start sends the header of the answer: when the first byte has come, so that an array
// is refused with a status; but a caller who may be waiting for the header before it
// sends anything gets it soon.
func (b *batch) start() error {
	if b.r.ContentLength < 0 {
		defer time.AfterFunc(firstByte, b.open).Stop()
	}
	isArray := b.lines.first() == '['
	if !isArray {
		b.open()
		return nil
	}
	array := refuse(base.CodeInvalid, "want NDJSON, one object a line; this is a JSON array")
	refused := false
	b.opened.Do(func() { refused = true })
	if refused {
		return array
	}
	b.put(result{err: array})
	b.lines.ended, b.lines.from = io.EOF, b.lines.to
	return nil
}

// open begins the answer, if that was not done.
func (b *batch) open() {
	b.opened.Do(func() {
		b.w.Header()["Content-Type"] = typeNDJSON
		b.w.WriteHeader(http.StatusOK)
		_ = b.control.Flush() // the caller may wait for the header before it sends a line
	})
}

// end says why no more lines are read, unless it is the end of the body.
func (b *batch) end(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
		b.put(result{err: refuse(base.CodeDraining, "the batch was ended: the server closes, or the answers could not be written")})
	case errors.Is(err, errLineTooLong):
		b.put(result{err: refuse(base.CodeTooLarge, "the line is longer than %d bytes; the batch ends here", b.api.MaxBody)})
	case !errors.Is(err, io.EOF):
		b.put(result{err: refuse(base.CodeInvalid, "read the batch: %v", err)})
	}
	b.handOver()
}

// put adds a result to those that are handed over together.
func (b *batch) put(r result) {
	if b.chunk = append(b.chunk, r); len(b.chunk) == chunkLines {
		b.handOver()
	}
}

// handOver gives the results so far to runAnswers.
func (b *batch) handOver() {
	if len(b.chunk) == 0 {
		return
	}
	b.results <- b.chunk
	select {
	case b.chunk = <-b.free:
	default:
		b.chunk = nil
	}
}

// interrupt ends a read of the body that waits for the caller's next line.
func (b *batch) interrupt() {
	_ = b.control.SetReadDeadline(time.Now()) // not supported: then the connection's end does it
}

// runAnswers writes result lines until results is closed, also when nobody reads
// them any more, so that read never waits in vain. It flushes when no further
// result is ready. It ends the batch, by cancel, when a line cannot be written or
// the server closes.
func (b *batch) runAnswers(ctx context.Context, cancel context.CancelFunc, wg *sync.WaitGroup) {
	defer wg.Done()
	done := b.api.Done
	for {
		select {
		case chunk, more := <-b.results:
			if !more {
				return
			}
			if b.answer(ctx, chunk); b.broken != nil {
				cancel()
			}
			clear(chunk)
			select {
			case b.free <- chunk[:0]:
			default:
			}
		case <-done:
			done = nil
			cancel()
		}
	}
}

// answer writes the lines of some results.
func (b *batch) answer(ctx context.Context, chunk []result) {
	var published, refused uint64
	for i := range chunk {
		r := &chunk[i]
		if r.err != nil {
			refused++
			e, _ := b.api.explain(b.r, r.err)
			line, _ := encode(faultOf(e)) // always JSON
			b.out = append(b.out, line...)
		} else {
			published++
			if r.waits() && !r.pending.Complete() {
				b.flush()
			}
			b.out = r.append(ctx, b.out)
		}
		if len(b.out) >= flushAt {
			b.write()
		}
	}
	b.api.Ledger.add(b.who.name, published, refused)
	if len(b.results) == 0 {
		b.flush()
	}
}

func (b *batch) write() {
	if b.broken == nil && len(b.out) > 0 {
		_, b.broken = b.w.Write(b.out)
	}
	b.out = b.out[:0]
}

func (b *batch) flush() {
	if b.write(); b.broken == nil {
		b.broken = b.control.Flush()
	}
}
