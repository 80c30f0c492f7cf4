package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/streamweir/weir/internal/journal"
	"github.com/streamweir/weir/internal/topiclog"
)

// safe is text for a terminal: what is not a letter, a mark, a number, punctuation, a symbol or a space is escaped as in JSON.
func safe(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsGraphic(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		i += n
	}
	return b.String()
}

// nameOf is what a log is called.
func nameOf(v *journal.LogView) string {
	if v.Namespace == "" && v.Topic == "" {
		return v.Directory
	}
	return safe(v.Namespace) + " " + safe(v.Topic)
}

// writeTopics writes a line for each topic.
func writeTopics(w io.Writer, all []*journal.LogView) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAMESPACE\tTOPIC\tSEGMENTS\tRECORDS\tOFFSETS\tBYTES\tOLDEST\tNEWEST\tSTATE")
	for _, v := range all {
		namespace, topic := safe(v.Namespace), safe(v.Topic)
		if namespace == "" && topic == "" {
			namespace, topic = "?", v.Directory
		}
		sum := journal.SegmentView{}
		bad := 0
		for _, s := range v.Segments {
			if s.Bad() {
				bad++
			}
			if s.Records == 0 {
				continue
			}
			if sum.Records == 0 {
				sum.First, sum.Oldest = s.First, s.Oldest
			}
			sum.Records, sum.Last, sum.Newest = sum.Records+s.Records, s.Last, s.Newest
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%s\t%d\t%s\t%s\t%s\n", namespace, topic, len(v.Segments), sum.Records, offsets(&sum), v.Bytes,
			age(sum.Oldest), age(sum.Newest), stateOf(v, bad))
	}
	return t.Flush()
}

// stateOf is the last column of a topic.
func stateOf(v *journal.LogView, bad int) string {
	var all []string
	if bad > 0 {
		all = append(all, "damage in "+counted(bad, "segment"))
	}
	switch {
	case v.State != nil:
		all = append(all, "state: "+safe(v.State.Error()))
	case v.Clean:
		all = append(all, "closed")
	default:
		all = append(all, "open, or not closed in order")
	}
	if n := len(v.Aside); n > 0 {
		all = append(all, counted(n, "file")+" set aside")
	}
	return strings.Join(all, "; ")
}

// writeSegments writes a line for each segment.
func writeSegments(w io.Writer, all []*journal.LogView) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAMESPACE\tTOPIC\tSEGMENT\tRECORDS\tOFFSETS\tBYTES\tOLDEST\tNEWEST\t")
	for _, v := range all {
		for i := range v.Segments {
			s := &v.Segments[i]
			notes := troubles(v, i)
			if s.Torn {
				notes = append(notes, "its end is being written, or never was")
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%d\t%s\t%s\t%s\n", safe(v.Namespace), safe(v.Topic), s.Name, s.Records, offsets(s), s.Bytes,
				age(s.Oldest), age(s.Newest), safe(strings.Join(notes, "; ")))
		}
	}
	return t.Flush()
}

func offsets(s *journal.SegmentView) string {
	if s.Records == 0 {
		return "-"
	}
	return fmt.Sprintf("%d-%d", s.First, s.Last)
}

// age is how long ago something was, in the unit a person would choose.
func age(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	d := time.Since(at)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// logJSON is a log as JSON.
type logJSON struct {
	Namespace string        `json:"namespace"`
	Topic     string        `json:"topic"`
	Directory string        `json:"directory"`
	Epoch     string        `json:"epoch,omitempty"`
	Bytes     int64         `json:"bytes"`
	Closed    bool          `json:"closed"`
	State     string        `json:"state,omitempty"` // what is wrong with it
	Segments  []segmentJSON `json:"segments"`
	Aside     []string      `json:"setAside"`
}

type segmentJSON struct {
	Name    string     `json:"name"`
	Bytes   int64      `json:"bytes"`
	Records int        `json:"records"`
	First   uint64     `json:"first"`
	Last    uint64     `json:"last"`
	Oldest  *time.Time `json:"oldest,omitempty"`
	Newest  *time.Time `json:"newest,omitempty"`
	Torn    bool       `json:"torn"`
	Damaged bool       `json:"damaged"`
	Missing bool       `json:"missing"`
	Notes   []string   `json:"notes,omitempty"`
}

// writeViews writes one JSON object.
func writeViews(w io.Writer, all []*journal.LogView) error {
	topics := []logJSON{}
	damaged := false
	for _, v := range all {
		l := logJSON{
			Namespace: v.Namespace, Topic: v.Topic, Directory: v.Directory, Epoch: v.Epoch, Bytes: v.Bytes, Closed: v.Clean, Segments: []segmentJSON{}, Aside: []string{},
		}
		if v.State != nil {
			l.State = v.State.Error()
			damaged = damaged || damagedState(v)
		}
		for i := range v.Segments {
			s := &v.Segments[i]
			damaged = damaged || s.Bad()
			x := segmentJSON{
				Name: s.Name, Bytes: s.Bytes, Records: s.Records, First: s.First, Last: s.Last, Torn: s.Torn, Damaged: s.Bad(), Missing: s.Missing, Notes: troubles(v, i),
			}
			if s.Records > 0 {
				x.Oldest, x.Newest = &s.Oldest, &s.Newest
			}
			l.Segments = append(l.Segments, x)
		}
		for _, a := range v.Aside {
			l.Aside = append(l.Aside, a.Name)
		}
		topics = append(topics, l)
	}
	text, err := json.Marshal(map[string]any{"topics": topics, "damaged": damaged})
	if err == nil {
		_, err = fmt.Fprintln(w, safe(string(text)))
	}
	return err
}

// recordLine is a record for a person.
func recordLine(p topiclog.Placement) string {
	b := []string{fmt.Sprint(p.Offset), time.Unix(0, p.At).UTC().Format("2006-01-02T15:04:05.000Z"), safe(p.ID)}
	for _, to := range []struct{ what, who string }{{"socket", p.To.Socket}, {"principal", p.To.Principal}, {"room", p.To.Room}, {"key", p.Key}} {
		if to.who != "" {
			b = append(b, to.what+"="+safe(to.who))
		}
	}
	payload := string(p.Payload)
	if p.Binary {
		payload = "base64:" + base64.StdEncoding.EncodeToString(p.Payload)
	}
	return strings.Join(append(b, safe(payload)), " ")
}

// recordJSON is a record for a program.
func recordJSON(p topiclog.Placement) string {
	x := struct {
		Offset    uint64          `json:"offset"`
		Previous  uint64          `json:"previous"`
		Time      time.Time       `json:"time"`
		Expires   *time.Time      `json:"expires,omitempty"`
		ID        string          `json:"id,omitempty"`
		Key       string          `json:"key,omitempty"`
		Socket    string          `json:"socket,omitempty"`
		Principal string          `json:"principal,omitempty"`
		Room      string          `json:"room,omitempty"`
		Payload   json.RawMessage `json:"payload,omitempty"`
		Base64    []byte          `json:"base64,omitempty"` // what is not JSON
	}{
		Offset: p.Offset, Previous: p.Previous, Time: time.Unix(0, p.At).UTC(), ID: p.ID, Key: p.Key,
		Socket: p.To.Socket, Principal: p.To.Principal, Room: p.To.Room,
	}
	if p.Expires != 0 {
		at := time.Unix(0, p.Expires).UTC()
		x.Expires = &at
	}
	if p.Binary || !json.Valid(p.Payload) || !utf8.Valid(p.Payload) {
		x.Base64 = p.Payload
	} else {
		x.Payload = p.Payload
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(x); err != nil {
		return fmt.Sprintf(`{"offset":%d,"error":%q}`, p.Offset, err)
	}
	return safe(strings.TrimSuffix(b.String(), "\n"))
}
