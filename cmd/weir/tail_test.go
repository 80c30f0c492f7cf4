package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const tailConfig = `
weir: 1
servers: {feed: {host: 127.0.0.1, port: 0, namespaces: [{path: /feed, topics: [prices]}]}}
`

func TestTailPrintsWhatPublishSends(t *testing.T) {
	url := serveInTest(t, tailConfig)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tailCtx, stopTail := context.WithCancel(ctx)
	read, printed := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- run(tailCtx, []string{"tail", "/feed", "prices", "--url", url}, streams{out: printed, err: io.Discard})
		_ = printed.Close()
	}()
	lines := make(chan string)
	go func() {
		for s := bufio.NewScanner(read); s.Scan(); {
			lines <- s.Text()
		}
	}()
	line := publishUntil(ctx, t, url, lines)
	var got struct {
		Topic   string          `json:"topic"`
		Payload json.RawMessage `json:"payload"`
	}
	if err := json.Unmarshal([]byte(line), &got); err != nil || got.Topic != "prices" || string(got.Payload) != `{"a":1}` {
		t.Errorf("tail printed %s (%v), want the message", line, err)
	}
	stopTail()
	for {
		select {
		case <-lines: // what was published while the tail began
		case code := <-ended:
			if code != exitGood {
				t.Errorf("tail ended with %d, want %d", code, exitGood)
			}
			return
		}
	}
}

// publishUntil publishes again and again, since nobody says when a tail has begun, until one message is printed.
func publishUntil(ctx context.Context, t *testing.T, url string, lines <-chan string) string {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		var out, errs bytes.Buffer
		if code := run(ctx, []string{"publish", "/feed", "prices", `{"a":1}`, "--url", url}, streams{out: &out, err: &errs}); code != exitGood {
			t.Fatalf("publish: exit code %d: %s", code, errs.String())
		}
		select {
		case line := <-lines:
			return line
		case <-again.C:
		case <-ctx.Done():
			t.Fatal("tail prints nothing")
		}
	}
}

func TestTailOfAServerThatEndsIsAFailure(t *testing.T) {
	var out, errs bytes.Buffer
	stream := "event: message\ndata: {\"topic\":\"prices\"}\n\n: keep-alive\n\nevent: missed\ndata: {\"count\":3}\n\n"
	err := printEvents(bytes.NewReader([]byte(stream)), streams{out: &out, err: &errs})
	if !errors.Is(err, errStreamEnded) || out.String() != "{\"topic\":\"prices\"}\n" || errs.String() != "weir: missed {\"count\":3}\n" {
		t.Errorf("printed %q and %q, %v", out.String(), errs.String(), err)
	}
}

// serveInTest runs serve for the time of the test and returns the management API's URL.
func serveInTest(t *testing.T, file string) string {
	t.Helper()
	port := strconv.Itoa(aFreePort(t))
	url := "http://127.0.0.1:" + port
	serveUntilReady(t, file, port, url)
	return url
}

// serveUntilReady runs weir serve with the management API on a port, until the end of the test; probe says when it is ready.
func serveUntilReady(t *testing.T, file, port, probe string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weir.yaml")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	var errs bytes.Buffer
	go func() {
		ended <- run(ctx, []string{"serve", "--config", path, "--set", "management.port=" + port}, streams{out: io.Discard, err: &errs})
	}()
	t.Cleanup(func() {
		stop()
		if code := <-ended; code != exitGood {
			t.Errorf("serve ended with %d:\n%s", code, errs.String())
		}
	})
	retry := time.NewTicker(10 * time.Millisecond)
	defer retry.Stop()
	for !answers(t.Context(), probe+"/readyz") {
		select {
		case <-retry.C:
		case code := <-ended:
			ended <- code
			t.Fatal("serve has ended before it was ready")
		}
	}
}

// TestTailOfAPatternThatIsNotDeclaredSaysWhichThereCanBe, in the refusal and in the help.
func TestTailOfAPatternThatIsNotDeclaredSaysWhichThereCanBe(t *testing.T) {
	url := serveInTest(t, tailConfig)
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"tail", "/feed", "pri*", "--url", url}, streams{out: &out, err: &errs}); code != exitFailed {
		t.Errorf("exit code %d, want %d", code, exitFailed)
	}
	if s := errs.String(); !strings.Contains(s, `"pri*" is not declared`) || !strings.Contains(s, "a pattern means topics of a declared one") {
		t.Errorf("refused with %s", s)
	}
	if code := run(t.Context(), []string{"tail", "--help"}, streams{out: &out, err: &errs}); code != exitGood || !strings.Contains(out.String(), "TOPIC may be a pattern") {
		t.Errorf("the help, %d: %s", code, out.String())
	}
}

// TestAnswerOfSomebodyElseIsNotSuccess: a 200 of what is no management API says nothing about a publish.
func TestAnswerOfSomebodyElseIsNotSuccess(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<!doctype html>") }))
	defer other.Close()
	for _, args := range [][]string{{"publish", "/feed", "prices", "1"}, {"tail", "/feed", "prices"}} {
		var out, errs bytes.Buffer
		code := run(t.Context(), append(args, "--url", other.URL), streams{out: &out, err: &errs})
		if code != exitFailed || out.Len() > 0 || !strings.Contains(errs.String(), "not as a management API does") {
			t.Errorf("%q: exit code %d, %q, %q", args, code, out.String(), errs.String())
		}
	}
}
