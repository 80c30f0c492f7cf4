package admin

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
)

// keepAlive is how often a quiet tail sends a comment, so that proxies keep it
// open and a gone client is noticed.
const keepAlive = 15 * time.Second

// tailed is the data of one message event.
type tailed struct {
	Topic         string          `json:"topic"`
	MessageID     string          `json:"messageId"`
	Offset        uint64          `json:"offset"`
	Payload       json.RawMessage `json:"payload,omitempty"`
	PayloadBase64 []byte          `json:"payloadBase64,omitzero"`
}

// missed is the data of an event that says how many messages the reader was too
// slow for, since the last one that said so.
type missed struct {
	Count uint64 `json:"count"`
}

// tail serves GET /api/tail: what is published, as server-sent events. Without a
// topic, all of the namespace. It never holds a publisher up.
func (a *api) tail(w http.ResponseWriter, r *http.Request) error {
	q := parseQuery(r.URL)
	namespace, topic := q.text("namespace"), q.text("topic")
	if namespace == "" {
		q.wrong("namespace", "missing")
	}
	if err := q.end(); err != nil {
		return err
	}
	if err := callerOf(r.Context()).admit(namespace); err != nil {
		return err
	}
	if _, err := a.namespace(namespace); err != nil {
		return err
	}
	if topic != "" {
		if _, err := a.declared(namespace, topic); err != nil {
			return err
		}
	}
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", eventStream)
		return nil
	}
	select {
	case a.tails <- struct{}{}:
		defer func() { <-a.tails }()
	default:
		return refuse(base.CodeLimited, "there are %d tails already", maxTails)
	}
	tap := a.Hub.Tap(namespace, topic)
	defer tap.Close()
	a.follow(w, r, tap)
	return nil
}

const eventStream = "text/event-stream"

// follow writes events until the client leaves or the server closes.
func (a *api) follow(w http.ResponseWriter, r *http.Request, tap *delivery.Tap) {
	w.Header().Set("Content-Type", eventStream)
	w.WriteHeader(http.StatusOK)
	s := &events{w: w, control: http.NewResponseController(w)}
	s.comment("tail")
	quiet := time.NewTicker(keepAlive)
	defer quiet.Stop()
	for s.err == nil {
		select {
		case m := <-tap.C:
			tap.Took(m)
			if n := tap.Missed.Swap(0); n > 0 {
				s.event("missed", missed{n})
			}
			s.event("message", view(m))
			if len(tap.C) > 0 {
				continue
			}
		case <-quiet.C:
			s.comment("")
		case <-r.Context().Done():
			return
		case <-a.Done:
			return
		}
		s.flush()
	}
}

func view(m delivery.Tapped) tailed {
	t := tailed{Topic: m.Message.Topic, MessageID: m.Message.ID, Offset: m.Message.Offset}
	if m.Binary {
		t.PayloadBase64 = append([]byte{}, m.Payload...) // never nil: "" is a payload too
	} else {
		t.Payload = m.Payload
	}
	return t
}

// events writes server-sent events; the first error sticks.
type events struct {
	w       http.ResponseWriter
	control *http.ResponseController
	buf     bytes.Buffer
	err     error
}

// event writes one event. JSON from the encoder has no line breaks, whatever the
// payload had between its tokens, so one data line holds it.
func (s *events) event(name string, data any) {
	s.buf.Reset()
	s.buf.WriteString("event: " + name + "\ndata: ")
	e := json.NewEncoder(&s.buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(data); err != nil {
		s.err = err
		return
	}
	s.buf.WriteByte('\n')
	s.write(s.buf.Bytes())
}

func (s *events) comment(text string) {
	s.write([]byte(strings.TrimRight(": "+text, " ") + "\n\n"))
	s.flush()
}

func (s *events) write(b []byte) {
	if s.err == nil {
		_, s.err = s.w.Write(b)
	}
}

func (s *events) flush() {
	if s.err == nil {
		s.err = s.control.Flush()
	}
}
