package admin_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/admin"
)

func TestPublishHandsOnEveryField(t *testing.T) {
	f := setUp(t)
	for _, c := range []struct {
		body string
		want admin.PublishRequest
	}{
		{
			`{"namespace":"/feed","topic":"prices","payload":{"b": 1,  "a":1.0e0}}`,
			admin.PublishRequest{Payload: []byte(`{"b": 1,  "a":1.0e0}`)},
		},
		{
			`{"namespace":"/feed","topic":"prices","payload":null,"key":"AAPL","id":"m1","ttlMs":1500,"receipt":true}`,
			admin.PublishRequest{Payload: []byte(`null`), Key: "AAPL", ID: "m1", TTL: 1500 * time.Millisecond, Receipt: true},
		},
		{
			`{"namespace":"/feed","topic":"prices","payloadBase64":"AAH/","to":{"socket":"abc"}}`,
			admin.PublishRequest{Payload: []byte{0, 1, 255}, Binary: true, Socket: "abc"},
		},
		{`{"namespace":"/feed","topic":"prices","payloadBase64":""}`, admin.PublishRequest{Payload: []byte{}, Binary: true}},
		{
			`{"namespace":"/feed","topic":"prices","payload":"<é>","to":{"principal":"alice"}}`,
			admin.PublishRequest{Payload: []byte(`"<é>"`), Principal: "alice"},
		},
		{`{"topic":"prices","payload":[],"namespace":"/feed","room":"vip"}`, admin.PublishRequest{Payload: []byte(`[]`), Room: "vip"}},
	} {
		f.backend.published = nil
		w := f.do(http.MethodPost, "/api/publish", c.body)
		if w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", c.body, w.Code, w.Body)
			continue
		}
		c.want.Namespace, c.want.Topic = "/feed", "prices"
		if got := f.backend.published[0]; !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", c.body, got, c.want)
		}
	}
}

func TestPublishAnswersWhereTheMessageStands(t *testing.T) {
	f := setUp(t)
	w := f.do(http.MethodPost, "/api/publish", `{"namespace":"/feed","topic":"prices","payload":1,"id":"m1"}`)
	var answer map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	epoch, _ := answer["epoch"].(string)
	if len(answer) != 3 || answer["messageId"] != "m1" || answer["offset"] != 1.0 || epoch == "" {
		t.Errorf("answer %s", w.Body)
	}
	again := f.do(http.MethodPost, "/api/publish", `{"namespace":"/feed","topic":"prices","payload":2,"id":"m1"}`)
	if want := strings.TrimSuffix(w.Body.String(), "}\n") + `,"duplicate":true}` + "\n"; again.Body.String() != want {
		t.Errorf("second publish of an id: %s, want %s", again.Body, want)
	}
}

func TestPublishReceiptCountsOutcomesAtEnqueue(t *testing.T) {
	f := setUp(t)
	f.connect(connection{topics: []string{"prices"}})
	f.connect(connection{shard: 1, topics: []string{"prices"}, stalled: true})
	publish := func(body string) string {
		w := f.do(http.MethodPost, "/api/publish", body)
		_, outcome, found := strings.Cut(w.Body.String(), `,"subscribers"`)
		if !found || w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		return `{"subscribers"` + strings.TrimSpace(outcome)
	}
	const body = `{"namespace":"/feed","topic":"prices","payload":1,"receipt":true}`
	want := `{"subscribers":2,"queued":2,"coalesced":0,"dropped":0,"spilled":0,"rejected":0,"complete":true}`
	for range 4 {
		if got := publish(body); got != want {
			t.Errorf("receipt %s, want %s", got, want)
		}
	}
	// The stalled client's lane is full: one goes in, one goes out.
	want = strings.Replace(want, `"dropped":0`, `"dropped":1`, 1)
	if got := publish(body); got != want {
		t.Errorf("receipt of a full lane %s, want %s", got, want)
	}
}

func TestPublishToReliableTopicTellsRejections(t *testing.T) {
	f := setUp(t)
	f.connect(connection{topics: []string{"orders"}, stalled: true})
	rejected := func() any {
		w := f.do(http.MethodPost, "/api/publish", `{"namespace":"/feed","topic":"orders","payload":1}`)
		var answer map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		if len(answer) != 5 || answer["subscribers"] != 1.0 {
			t.Errorf("answer %s", w.Body)
		}
		return answer["rejected"]
	}
	for range 4 {
		if n := rejected(); n != 0.0 {
			t.Errorf("rejected %v, want 0", n)
		}
	}
	if n := rejected(); n != 1.0 {
		t.Errorf("rejected %v by a full lane, want 1", n)
	}
}

func TestPublishReceiptThatIsLateSaysSo(t *testing.T) {
	f := setUp(t, func(o *admin.Options) { o.ReceiptTimeout = time.Millisecond })
	f.connect(connection{topics: []string{"prices", "orders"}})
	sh, hold, held := f.hub.Shards()[0], make(chan struct{}), make(chan struct{})
	sh.Post(task(func() { close(held); <-hold }))
	<-held
	defer close(hold)
	for topic, want := range map[string]string{"prices": `"subscribers":0,`, "orders": `"rejected":0,"complete":false`} {
		body := `{"namespace":"/feed","topic":"` + topic + `","payload":1,"receipt":` + map[bool]string{true: "true", false: "false"}[topic == "prices"] + `}`
		w := f.do(http.MethodPost, "/api/publish", body)
		if !strings.Contains(w.Body.String(), want) || !strings.Contains(w.Body.String(), `"complete":false`) {
			t.Errorf("%s: %s, want %s and complete false", topic, w.Body, want)
		}
	}
}

func TestEmitHandsOnEveryField(t *testing.T) {
	f := setUp(t)
	for _, c := range []struct {
		body string
		want admin.EmitRequest
	}{
		{`{"namespace":"/feed","event":"hi"}`, admin.EmitRequest{Event: "hi"}},
		{
			`{"namespace":"/feed","event":"hi","args":[1, {"a" :2},null],"rooms":["r"],"except":["s","t"]}`,
			admin.EmitRequest{
				Event: "hi", Args: [][]byte{[]byte("1"), []byte(`{"a" :2}`), []byte("null")},
				Rooms: []string{"r"}, Except: []string{"s", "t"},
			},
		},
		{`{"namespace":"/feed","event":"hi","to":{"socket":"x"}}`, admin.EmitRequest{Event: "hi", Socket: "x"}},
		{`{"namespace":"/feed","event":"hi","to":{"principal":"x"},"rooms":[]}`, admin.EmitRequest{}},
	} {
		f.backend.emitted = nil
		w := f.do(http.MethodPost, "/api/emit", c.body)
		if c.want.Event == "" {
			if w.Code != http.StatusBadRequest {
				t.Errorf("%s: %d", c.body, w.Code)
			}
			continue
		}
		c.want.Namespace = "/feed"
		if w.Code != http.StatusOK || w.Body.String() != `{"recipients":0,"queued":0,"coalesced":0,"dropped":0,"rejected":0,"complete":true}`+"\n" {
			t.Fatalf("%s: %d %s", c.body, w.Code, w.Body)
		}
		if got := f.backend.emitted[0]; !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", c.body, got, c.want)
		}
	}
}

// A publish to nobody looks like a success if only rejections are told.
func TestReliablePublishToNobodySaysSo(t *testing.T) {
	f := setUp(t)
	for _, receipt := range []string{"", `,"receipt":true`} {
		w := f.do(http.MethodPost, "/api/publish", `{"namespace":"/feed","topic":"orders","payload":1`+receipt+`}`)
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"subscribers":0,`) || !strings.Contains(w.Body.String(), `"rejected":0`) {
			t.Errorf("receipt %q: %d %s", receipt, w.Code, w.Body)
		}
	}
}

// What was sent under a wrong name is named beside what is missing for it.
func TestMissingFieldNamesTheOneThatIsThereInstead(t *testing.T) {
	f := setUp(t)
	w := f.do(http.MethodPost, "/api/publish", `{"namespace":"/feed","topic":"prices","data":1}`)
	if got, want := refusalIn(t, w.Body.Bytes()).Error.Message, `payload: missing; "data": no such field`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A line for each publish would be most of the log: they are counted, and summed up.
func TestPublishesAreSummedUpByKey(t *testing.T) {
	keys := func(o *admin.Options) {
		o.Authorize = func(token string) (string, admin.Allow, bool) { return token, admin.Allow{Publish: true}, true }
	}
	f := setUp(t, keys)
	f.do(http.MethodPost, "/api/publish/batch", lineOf("1")+"no\n"+lineOf("2"), "X-API-Key", "app")
	for range 3 {
		f.do(http.MethodPost, "/api/publish", lineOf("3"), "X-API-Key", "app")
		f.do(http.MethodPost, "/api/publish", "{}", "X-API-Key", "jobs")
	}
	if f.log.Len() > 0 {
		t.Errorf("logged before the sum: %s", f.log)
	}
	f.opts.Ledger.Sum()
	if log := f.log.String(); strings.Count(log, "\n") != 2 || !strings.Contains(log, "key=app published=5 refused=1") ||
		!strings.Contains(log, "key=jobs published=0 refused=3") {
		t.Errorf("the sum: %s", log)
	}
	f.log.Reset()
	f.opts.Ledger.Sum()
	if f.log.Len() > 0 {
		t.Errorf("summed up twice: %s", f.log)
	}
}

func TestEachPublishIsLoggedAtDebug(t *testing.T) {
	f := setUp(t)
	f.opts.Logger = slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	f.handler = admin.New(f.opts)
	f.do(http.MethodPost, "/api/publish", `{"namespace":"/feed","topic":"prices","payload":1,"id":"m1"}`)
	f.do(http.MethodPost, "/api/publish/batch", lineOf("1")+"no\n")
	log := f.log.String()
	if strings.Count(log, "level=DEBUG") != 3 || !strings.Contains(log, "key=local namespace=/feed topic=prices messageId=m1 offset=1") {
		t.Errorf("log: %s", log)
	}
}
