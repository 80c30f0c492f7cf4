package swarm

import (
	"github.com/streamweir/weir/internal/wire/sio"
	"github.com/streamweir/weir/internal/wire/ws"
)

// words are what clients of a Spec say and hear, ready for use.
type words struct {
	subscribe []byte // frames; the ack ids are the topics' places
	delivery  []byte // how a delivery's text begins, up to the number
	answer    []byte // how the text of an ack begins, up to its id
	ack       []byte // the text of an acknowledgement up to the message id
	bye       []byte // frames
}

// maskKey is what frames are masked with. Between this process and a server on the same machine there is no cache that
// could be fooled (RFC 6455 10.3).
var maskKey = [4]byte{0x57, 0x65, 0x69, 0x72}

func newWords(spec Spec, namespace string) (w words) {
	h := sio.EventHeader{Namespace: namespace}
	for i, topic := range spec.Subscribe {
		h := sio.EventHeader{Namespace: namespace, ID: uint64(i), HasID: true}
		request := append(sio.AppendString([]byte(`{"topic":`), topic), '}')
		w.subscribe = appendText(w.subscribe, sio.AppendEvent([]byte{'4'}, h, []byte(`"subscribe"`), request))
	}
	w.answer = sio.AppendHeader(nil, sio.Ack, h)
	w.delivery = sio.AppendString(append(sio.AppendHeader(nil, sio.Event, h), '['), spec.Event)
	w.delivery = append(w.delivery, `,{"n":`...)
	w.ack = append(sio.AppendHeader([]byte{'4'}, sio.Event, h), `["ack",{"topic":`...)
	w.ack = append(sio.AppendString(w.ack, spec.Event), `,"messageId":"`...)
	w.bye = appendText(nil, sio.AppendDisconnect([]byte{'4'}, namespace))
	w.bye = ws.AppendMasked(w.bye, ws.Close, maskKey, ws.AppendClosePayload(nil, ws.NormalClosure, ""))
	return w
}

func appendText(dst, text []byte) []byte { return ws.AppendMasked(dst, ws.Text, maskKey, text) }

// number reads the decimal digits b begins with, at most 18; false if there are none or more.
func number(b []byte) (n int64, rest []byte, ok bool) {
	const most = 18
	i := 0
	for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
		if i == most {
			return 0, b, false
		}
		n = n*10 + int64(b[i]-'0')
	}
	return n, b[i:], i > 0
}
