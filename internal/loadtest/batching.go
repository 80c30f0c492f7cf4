package loadtest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// batching publishes as lines of one POST /api/publish/batch, and reads the results beside it: no message waits for
// the answer to the one before.
type batching struct {
	posting
	body    *io.PipeWriter
	cancel  context.CancelFunc
	refused chan error // the first refusal, or why the batch has ended
	done    chan struct{}
}

func newBatching(ctx context.Context, o *Options) (*batching, error) {
	read, write := io.Pipe()
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // ends with Close
	b := &batching{
		posting: *newPosting(o), body: write, cancel: cancel, refused: make(chan error, 1), done: make(chan struct{}),
	}
	b.url += "/batch"
	b.client.Timeout = 0 // it lasts as long as the feed
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url, read)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("publish in a batch: %w", err)
	}
	q.Header.Set("Content-Type", "application/x-ndjson")
	if b.key != "" {
		q.Header.Set("Authorization", "Bearer "+b.key)
	}
	go b.loop(q, read)
	return b, nil
}

// loop reads results and looks out for refusals; it ends with the batch.
func (b *batching) loop(q *http.Request, read *io.PipeReader) {
	defer close(b.done)
	err := b.results(q)
	_ = read.CloseWithError(err) // a line that is being written comes back
	b.refused <- err
}

// results returns the first refusal, or why there are no more of them; never nil.
func (b *batching) results(q *http.Request) error {
	a, err := b.client.Do(q)
	if err != nil {
		return fmt.Errorf("publish in a batch: %w", err)
	}
	defer a.Body.Close() //nolint:errcheck // read only
	lines := bufio.NewScanner(a.Body)
	for lines.Scan() {
		if a.StatusCode != http.StatusOK || bytes.HasPrefix(lines.Bytes(), []byte(`{"error"`)) {
			return fmt.Errorf("publish in a batch: %s answers %s: %.300s", b.url, a.Status, strings.TrimSpace(lines.Text()))
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("publish in a batch: read the results: %w", err)
	}
	return fmt.Errorf("publish in a batch: %s answered %s and ended: %w", b.url, a.Status, io.EOF)
}

func (b *batching) Publish(payload []byte) error {
	line := bytes.Join([][]byte{b.head, payload, []byte("}\n")}, nil)
	if _, err := b.body.Write(line); err != nil {
		return <-b.refused // the reader is gone: loop says why
	}
	select {
	case refused := <-b.refused:
		return refused
	default:
		return nil
	}
}

// Close ends the batch and waits for the results that are due, at most as long as one publish may take.
func (b *batching) Close() error {
	err := b.body.Close()
	timer := time.AfterFunc(postTimeout, b.cancel)
	<-b.done
	timer.Stop()
	b.cancel()
	b.client.CloseIdleConnections()
	return err
}
