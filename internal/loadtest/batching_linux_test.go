package loadtest_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/loadtest"
)

// newBatchAPI publishes the lines of batches to s, the first of them only when another has come; from refuseFrom on it
// answers with errors.
func newBatchAPI(t *testing.T, s *server, refuseFrom int) *httptest.Server {
	t.Helper()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/publish/batch" {
			_, _ = io.WriteString(w, "") // metrics
			return
		}
		control := http.NewResponseController(w)
		_ = control.EnableFullDuplex()
		var held []json.RawMessage
		n := 0
		for lines := bufio.NewScanner(r.Body); lines.Scan(); n++ {
			var p struct {
				Namespace, Topic string
				Payload          json.RawMessage
			}
			if n >= refuseFrom || json.Unmarshal(lines.Bytes(), &p) != nil || p.Namespace != "/" || p.Topic != "tick" {
				_, _ = fmt.Fprintln(w, `{"error":{"code":"busy","message":"not now"}}`)
				_ = control.Flush()
				continue
			}
			if held = append(held, p.Payload); n == 0 {
				continue
			}
			for _, payload := range held {
				s.publish(payload)
				_, _ = fmt.Fprintln(w, `{"messageId":"1"}`)
			}
			held = nil
			_ = control.Flush()
		}
	}))
	t.Cleanup(api.Close)
	return api
}

func TestABatchDoesNotWaitForTheAnswerToTheMessageBefore(t *testing.T) {
	t.Parallel()
	s := serve(t, faults{})
	api := newBatchAPI(t, s, 1<<30)
	o := options(loadtest.Fanout, s)
	o.Feed.Window, o.Phases.Duration = 4, 300*time.Millisecond
	o.Feed.Publish, o.Server.Management = loadtest.PublishBatch, api.URL
	if r := run(t, o); !r.OK() || figure(t, r, "deliveries/s") <= 0 {
		t.Errorf("%+v %+v", r.Figures, r.Verdicts)
	}
}

func TestARefusedLineEndsTheRunWithItsReason(t *testing.T) {
	t.Parallel()
	s := serve(t, faults{})
	api := newBatchAPI(t, s, 20)
	o := options(loadtest.Fanout, s)
	o.Feed.Rate, o.Phases.Duration = 200, patience
	o.Feed.Publish, o.Server.Management = loadtest.PublishBatch, api.URL
	if r := run(t, o); !failed(r, "not now") {
		t.Errorf("verdicts %+v", r.Verdicts)
	}
}
