//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/loadtest/report"
)

// TestMain is also the clients of accept: they are this program, started once more.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == clientRole {
		if err := run(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestFloorsFinishAndHaveACost(t *testing.T) {
	p := plan{clients: 300, rate: 50, size: 132, duration: 100 * time.Millisecond, otherCPU: 1, records: 5000}
	for name, measure := range floors {
		r, err := measure(p)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if r.Figures[0].Value <= 0 || r.Figures[0].Unit != "us" {
			t.Errorf("%s: %+v", name, r.Figures)
		}
	}
}

// TestABareAnswerHasTheBytesAskedFor also where its length gets a digit more.
func TestABareAnswerHasTheBytesAskedFor(t *testing.T) {
	for _, size := range []int{142, 215, 1200} {
		server := httptest.NewServer(bare(size))
		r, err := measured(plan{to: server.Listener.Addr().String(), clients: 3}, post)
		server.Close()
		if err != nil {
			t.Fatal(err)
		}
		if got := value(r, "bytes of an answer"); got < float64(size)-1 || got > float64(size) {
			t.Errorf("asked for %d, got %v", size, got)
		}
	}
}

// TestPostAsksAsAPublisherDoes and is not content with a refusal.
func TestPostAsksAsAPublisherDoes(t *testing.T) {
	asked := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := httputil.DumpRequest(r, true)
		select {
		case asked <- string(text):
		default:
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	defer server.Close()
	_, err := measured(plan{to: server.Listener.Addr().String(), clients: 2}, post)
	if err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("refused, got %v", err)
	}
	if got := <-asked; !strings.HasPrefix(got, "POST /api/publish ") || !strings.HasSuffix(got, message) {
		t.Errorf("asked %q", got)
	}
}

// TestAnswerSizeWaitsForTheHead whatever the pieces it comes in.
func TestAnswerSizeWaitsForTheHead(t *testing.T) {
	const answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: x\r\n\r\nok"
	for i := range answer {
		want := 0
		if i >= len(answer)-2 {
			want = len(answer)
		}
		if got, err := answerSize([]byte(answer[:i])); got != want || err != nil {
			t.Errorf("of %q: %d, %v, want %d", answer[:i], got, err, want)
		}
	}
	if _, err := answerSize([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")); err == nil {
		t.Error("an answer without a length has a size")
	}
}

// TestBatchCountsResultsAndMissesNone of a server that answers all lines, all but one, or one with an error.
func TestBatchCountsResultsAndMissesNone(t *testing.T) {
	for name, last := range map[string]string{"all": "{}\n", "one missing": "", "an error": `{"error":{}}` + "\n"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).EnableFullDuplex()
			buffer := make([]byte, 64<<10)
			for owed := -1; ; { // the last line's result waits for the end
				n, err := r.Body.Read(buffer)
				if owed += bytes.Count(buffer[:n], []byte{'\n'}); owed > 0 {
					_, _ = io.WriteString(w, strings.Repeat("{}\n", owed))
					owed = 0
				}
				if err != nil {
					_, _ = io.WriteString(w, last)
					return
				}
			}
		}))
		r, err := measured(plan{to: server.Listener.Addr().String()}, batch)
		server.Close()
		switch name {
		case "an error":
			if err == nil {
				t.Errorf("%s: no error", name)
			}
		default:
			if err != nil || value(r, "messages/s") <= 0 {
				t.Fatalf("%s: %+v, %v", name, r, err)
			}
			if r.OK() != (name == "all") {
				t.Errorf("%s: %+v", name, r.Verdicts)
			}
		}
	}
}

func measured(p plan, load func(plan) (*report.Run, error)) (*report.Run, error) {
	p.duration, p.pid = 100*time.Millisecond, os.Getpid()
	return load(p)
}

func value(r *report.Run, name string) float64 {
	for _, f := range r.Figures {
		if f.Name == name {
			return f.Value
		}
	}
	return 0
}
