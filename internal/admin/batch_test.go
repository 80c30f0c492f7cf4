package admin_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/admin"
)

func lineOf(payload string) string {
	return `{"namespace":"/feed","topic":"prices","payload":` + payload + `}` + "\n"
}

// results are the lines of an answer.
func results(t *testing.T, body *bytes.Buffer) (out []map[string]any) {
	t.Helper()
	for line := range strings.Lines(body.String()) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("result line %q: %v", line, err)
		}
		out = append(out, v)
	}
	return out
}

func codeOf(v map[string]any) any {
	e, _ := v["error"].(map[string]any)
	return e["code"]
}

func TestBatchAnswersEveryLineInOrder(t *testing.T) {
	f := setUp(t)
	var in strings.Builder
	for i := range 1000 {
		in.WriteString(lineOf(fmt.Sprint(i)))
	}
	w := f.do(http.MethodPost, "/api/publish/batch", in.String())
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("%d %q", w.Code, w.Header())
	}
	out := results(t, w.Body)
	if len(out) != 1000 {
		t.Fatalf("%d results", len(out))
	}
	for i, v := range out {
		if v["offset"] != float64(i+1) || string(f.backend.published[i].Payload) != fmt.Sprint(i) {
			t.Fatalf("line %d: %v, payload %s", i, v, f.backend.published[i].Payload)
		}
	}
}

func TestBatchGoesOnAfterBadLine(t *testing.T) {
	f := setUp(t)
	w := f.do(http.MethodPost, "/api/publish/batch", lineOf("1")+"not json\n\n \r\n"+
		`{"namespace":"/feed","topic":"no","payload":1}`+"\n"+strings.TrimSuffix(lineOf("2"), "\n")+"\r\n"+
		strings.TrimSuffix(lineOf("3"), "\n")) // the last line may lack its end
	var got []any
	for _, v := range results(t, w.Body) {
		if code := codeOf(v); code != nil {
			got = append(got, code)
		} else {
			got = append(got, v["offset"])
		}
	}
	if want := "[1 invalid unknown 2 3]"; fmt.Sprint(got) != want {
		t.Errorf("results %v, want %s", got, want)
	}
	f.opts.Ledger.Sum()
	if log := f.log.String(); !strings.Contains(log, "published=3 refused=2") {
		t.Errorf("log: %s", log)
	}
}

func TestBatchEndsAtALineTooLong(t *testing.T) {
	exact := `{"namespace":"/feed","topic":"prices","payload":""}`
	limit := len(exact) + 50
	exact = strings.Replace(exact, `""`, `"`+strings.Repeat("x", 50)+`"`, 1)
	f := setUp(t, func(o *admin.Options) { o.MaxBody = int64(limit) })
	w := f.do(http.MethodPost, "/api/publish/batch", exact+"\n"+strings.Replace(exact, "xx", "xxx", 1)+"\n"+exact+"\n")
	out := results(t, w.Body)
	if len(out) != 2 || out[0]["offset"] != 1.0 || codeOf(out[1]) != "too_large" || len(f.backend.published) != 1 {
		t.Errorf("results %v of %d published", out, len(f.backend.published))
	}
}

// A caller may wait for each answer before it sends the next line.
func TestBatchIsFullDuplex(t *testing.T) {
	f := setUp(t)
	server := httptest.NewServer(f.handler)
	defer server.Close()
	body, lines := io.Pipe()
	defer func() { _ = lines.Close() }()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/api/publish/batch", body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	answers := bufio.NewScanner(response.Body)
	for i := range 3 {
		if _, err := io.WriteString(lines, lineOf(`"x"`)); err != nil {
			t.Fatal(err)
		}
		if !answers.Scan() || !strings.Contains(answers.Text(), fmt.Sprintf(`"offset":%d,`, i+1)) {
			t.Fatalf("answer %d: %q, %v", i, answers.Text(), answers.Err())
		}
	}
	_ = lines.Close()
	if answers.Scan() || answers.Err() != nil {
		t.Errorf("after the last line: %q, %v", answers.Text(), answers.Err())
	}
}

// A caller that asks before it sends its body is told to go on, although the
// answer begins before the body.
func TestBatchAnswersExpectContinue(t *testing.T) {
	f := setUp(t)
	server := httptest.NewServer(f.handler)
	defer server.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/api/publish/batch", strings.NewReader(lineOf("1")))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Expect", "100-continue")
	transport := &http.Transport{ExpectContinueTimeout: 1 << 40}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if answer, err := io.ReadAll(response.Body); err != nil || !strings.Contains(string(answer), `"offset":1`) {
		t.Errorf("%s %v", answer, err)
	}
}

func TestBatchEndsWhenTheServerCloses(t *testing.T) {
	f := setUp(t)
	server := httptest.NewServer(f.handler)
	defer server.Close()
	body, lines := io.Pipe()
	defer func() { _ = lines.Close() }()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/api/publish/batch", body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	close(f.done)
	var last map[string]any
	answers := bufio.NewScanner(response.Body)
	for answers.Scan() {
		if err := json.Unmarshal(answers.Bytes(), &last); err != nil {
			t.Fatal(err)
		}
	}
	if codeOf(last) != "draining" {
		t.Errorf("last line %v, %v", last, answers.Err())
	}
}

// A JSON array is not NDJSON: it is refused as a whole, by a status.
func TestBatchRefusesAnArray(t *testing.T) {
	f := setUp(t)
	server := httptest.NewServer(f.handler)
	defer server.Close()
	array := "\n [" + strings.TrimSpace(lineOf("1")) + ",\n" + lineOf("2") + "]"
	for name, body := range map[string]io.Reader{"of known length": strings.NewReader(array), "chunked": struct{ io.Reader }{strings.NewReader(array)}} {
		response, err := http.Post(server.URL+"/api/publish/batch", "application/json", body)
		if err != nil {
			t.Fatal(err)
		}
		said, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if e := refusalIn(t, said).Error; response.StatusCode != http.StatusBadRequest || e.Code != "invalid" || !strings.Contains(e.Message, "array") {
			t.Errorf("%s: %d %s", name, response.StatusCode, said)
		}
	}
	if len(f.backend.published) > 0 {
		t.Errorf("published %d", len(f.backend.published))
	}
}

// A caller who waits for the header before it sends an array is told in the first line,
// which is the only one.
func TestBatchEndsAtALateArray(t *testing.T) {
	f := setUp(t)
	server := httptest.NewServer(f.handler)
	defer server.Close()
	body, lines := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/api/publish/batch", body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	go func() {
		_, _ = io.WriteString(lines, "[\n"+lineOf("1")+"]\n")
		_ = lines.Close()
	}()
	said, err := io.ReadAll(response.Body)
	if e := refusalIn(t, said).Error; err != nil || response.StatusCode != http.StatusOK || !strings.Contains(e.Message, "array") {
		t.Errorf("%d %s %v", response.StatusCode, said, err)
	}
}
