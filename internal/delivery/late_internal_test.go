package delivery

import (
	"testing"

	"github.com/streamweir/weir/internal/topiclog"
)

// heldLog is a late log whose positions the test gives.
type heldLog struct {
	topiclog.Log
	deliver topiclog.Deliver
	records chan *topiclog.Record
	later   *topiclog.Later
}

func (l *heldLog) Keeps() bool { return true }

func (l *heldLog) Append(r *topiclog.Record) (topiclog.Position, *topiclog.Later, error) {
	l.later = topiclog.NewLater()
	l.records <- r
	return topiclog.Position{}, l.later, nil
}

// A topic is not forgotten between the moment when its log's writer has found whose record it is and the moment when that is
// delivered: the log is closed when its writer has ended, and that one would wait for the topic to come back.
func TestTopicIsNotForgottenUnderItsWriter(t *testing.T) {
	log := &heldLog{Log: topiclog.NewMemory("e", topiclog.Limits{}), records: make(chan *topiclog.Record, 1)}
	h := New(Options{
		Shards: 1, Namespaces: []NamespaceSpec{{Path: "/", Topics: []TopicSpec{{Name: "user:*", Journal: true}}}},
		Open: func(_ *Declared, _ string, deliver topiclog.Deliver) (topiclog.Log, error) {
			log.deliver = deliver
			return log, nil
		},
	})
	h.Start()
	defer h.Close()
	n := h.Namespace("/")
	n.Declared("user:1").Spec.Policy.MaxBytes = 1 << 20
	done := make(chan error)
	go func() {
		_, err := h.Publish(t.Context(), n, "user:1", &Publication{Payload: []byte("1")}, false)
		done <- err
	}()
	r := <-log.records
	topic := n.known("user:1")
	if f := topic.awaited(r); f == nil {
		t.Fatal("nobody waits for the record")
	}
	if n.Forget("user:1"); n.known("user:1") != topic {
		t.Error("the topic is forgotten, and its log waits for its writer")
	}
	at := topiclog.Position{Epoch: "e", Offset: 1}
	log.deliver(topiclog.Placement{Record: r, Position: at})
	log.later.Place(at)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n.Forget("user:1"); n.known("user:1") != nil {
		t.Error("it stays for ever")
	}
}
