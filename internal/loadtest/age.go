package loadtest

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/streamweir/weir/internal/loadtest/swarm"
	"github.com/streamweir/weir/internal/wire/sio"
)

// message is what a watched client can tell of a delivery.
type message struct {
	numbered bool
	number   int64
	dated    bool
	age      time.Duration
	id       string // to acknowledge it by; "": it asks for none
}

// mostAge is what a time stamp of ours may be old: others are of another machine or not times at all.
const mostAge = 24 * time.Hour

// message reads a delivery: the raw array of its arguments, the name first. Both shapes are known, (payload, metadata)
// and one argument {metadata, payload}.
func (w *Watch) message(args []byte, now time.Time) message {
	parts := sio.SplitArgs(args, nil)
	if len(parts) < 2 {
		return message{}
	}
	payload := json.RawMessage(parts[1])
	var envelope struct {
		Metadata metadata
		Payload  json.RawMessage
	}
	var about metadata
	if json.Unmarshal(payload, &envelope) == nil && envelope.Payload != nil {
		payload, about = envelope.Payload, envelope.Metadata
	}
	if len(parts) > 2 {
		_ = json.Unmarshal(parts[2], &about) // else it is no metadata, and asks for nothing
	}
	m := message{id: about.MessageID}
	var ours struct{ N, T *int64 }
	if json.Unmarshal(payload, &ours) == nil {
		if ours.N != nil {
			m.number, m.numbered = *ours.N, true
		}
		if ours.T != nil && w.AgeField == "" {
			m.age = time.Duration(swarm.Clock()-*ours.T) * time.Microsecond
			m.dated = m.age >= 0 && m.age < mostAge
		}
	}
	if at, ok := pointed(payload, w.AgeField); ok {
		m.age, m.dated = now.Sub(time.UnixMilli(int64(at))), true
	}
	return m
}

type metadata struct{ MessageID string }

// ackOf is the argument of the event that acknowledges a delivery.
func ackOf(topic, id string) json.RawMessage {
	dst := append([]byte(`{"topic":`), sio.AppendString(nil, topic)...)
	dst = append(append(dst, `,"messageId":`...), sio.AppendString(nil, id)...)
	return append(dst, '}')
}

// pointed is the number at a JSON pointer (RFC 6901); false if there is none.
func pointed(doc json.RawMessage, pointer string) (float64, bool) {
	var at any
	if pointer == "" || json.Unmarshal(doc, &at) != nil {
		return 0, false
	}
	for step := range strings.SplitSeq(pointer[1:], "/") {
		step = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
		switch v := at.(type) {
		case map[string]any:
			at = v[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(v) {
				return 0, false
			}
			at = v[i]
		default:
			return 0, false
		}
	}
	n, ok := at.(float64)
	return n, ok
}
