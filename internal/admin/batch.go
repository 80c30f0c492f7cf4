package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/streamweir/weir/internal/base"
)

// maxOutstanding is how many lines of a batch may wait for their result: beyond
// that no more lines are read.
const maxOutstanding = 256

// batch is one POST /api/publish/batch: the caller's goroutine reads lines and
// publishes them one after the other, answer waits for the outcomes in the same
// order and writes the result lines.
//
//	body -> read -> publish -> results (bounded) -> answer -> response
type batch struct {
	api     *api
	w       http.ResponseWriter
	r       *http.Request
	control *http.ResponseController
	results chan result

	// Written by answer, read when it has ended.
	accepted, refused int
}

// result is what became of one line.
type result struct {
	publication *publication
	err         error
}

// publishBatch serves POST /api/publish/batch: NDJSON in, one result line for each
// line that is not blank, in order and as soon as it is known. A bad line is
// answered with an error line and the rest goes on; one longer than MaxBody ends
// the batch, since where the next begins is not known.
func (a *api) publishBatch(w http.ResponseWriter, r *http.Request) error {
	b := &batch{
		api: a, w: w, r: r, control: http.NewResponseController(w), results: make(chan result, maxOutstanding),
	}
	// HTTP/2 is full duplex anyway, and a recorder in a test holds all of it.
	_ = b.control.EnableFullDuplex()
	if strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		w.WriteHeader(http.StatusContinue) // net/http forgets it once there is a final header
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	_ = b.control.Flush() // the caller may wait for the header before it sends a line

	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	var wg sync.WaitGroup
	wg.Add(1)
	go b.runAnswers(ctx, cancel, &wg)
	b.read(ctx)
	close(b.results)
	wg.Wait()
	a.wrote(r, "publish/batch", slog.Int("accepted", b.accepted), slog.Int("refused", b.refused))
	return nil
}

// read publishes line by line until the body ends, ctx ends, or a line is too long.
func (b *batch) read(ctx context.Context) {
	stop := context.AfterFunc(ctx, b.interrupt)
	defer stop()
	lines := bufio.NewScanner(b.r.Body)
	lines.Buffer(nil, int(b.api.MaxBody)+1) // and its end of line
	for lines.Scan() && ctx.Err() == nil {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		p, err := b.api.begin(ctx, line)
		b.results <- result{p, err}
	}
	switch err := lines.Err(); {
	case ctx.Err() != nil:
		b.results <- result{err: refuse(base.CodeDraining, "the batch was ended: the server closes, or the answers could not be written")}
	case errors.Is(err, bufio.ErrTooLong):
		b.results <- result{err: refuse(base.CodeTooLarge, "the line is longer than %d bytes; the batch ends here", b.api.MaxBody)}
	case err != nil:
		b.results <- result{err: refuse(base.CodeInvalid, "read the batch: %v", err)}
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
	lines := json.NewEncoder(b.w)
	lines.SetEscapeHTML(false)
	for {
		select {
		case res, more := <-b.results:
			if !more {
				return
			}
			if b.answer(ctx, lines, res) != nil {
				cancel()
			}
		case <-b.api.Done:
			cancel()
			for res := range b.results {
				_ = b.answer(ctx, lines, res)
			}
			return
		}
	}
}

func (b *batch) answer(ctx context.Context, lines *json.Encoder, res result) error {
	var line any
	if res.err != nil {
		b.refused++
		e, _ := b.api.explain(b.r, res.err)
		line = faultOf(e)
	} else {
		b.accepted++
		line = res.publication.finish(ctx)
	}
	if err := lines.Encode(line); err != nil {
		return err
	}
	if len(b.results) > 0 {
		return nil
	}
	return b.control.Flush()
}
