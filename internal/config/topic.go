package config

import (
	"reflect"
	"strings"

	"github.com/streamweir/weir"
)

// inherit gives a topic what its namespace says, where the topic says nothing.
func (r *reader) inherit(from, to *policy, path string) {
	source, target := reflect.ValueOf(from).Elem(), reflect.ValueOf(to).Elem()
	for _, k := range topicKey().keys {
		if inPolicy := len(k.index) > 1; inPolicy && !r.isSet(below(path, k.name)) {
			target.FieldByIndex(k.index[1:]).Set(source.FieldByIndex(k.index[1:]))
		}
	}
}

// topicKey is the row of a topic in the table.
func topicKey() *key {
	return table().child("servers").item.child("namespaces").item.child("topics").item
}

// policyPaths tell where a topic's policy was written: with the topic, or with its namespace.
type policyPaths struct {
	namespace, topic string
}

// of returns the path that gave the key its value.
func (p policyPaths) of(r *reader, key string) string {
	if path := p.topic + "." + key; r.isSet(path) || !r.isSet(p.namespace+"."+key) {
		return path
	}
	return p.namespace + "." + key
}

func (r *reader) topic(t *topic, at policyPaths) weir.TopicOptions {
	reliable := t.DeliveryMode == weir.AtLeastOnce
	if reliable {
		r.checkReliable(t, at)
	}
	t.MaxInFlight = max(t.MaxInFlight, 1) // StreamFence: 0 and less mean 1
	o := weir.TopicOptions{
		Name: t.Name, Mode: t.DeliveryMode, Overflow: r.overflow(t, at),
		Max: weir.Limits{Messages: t.MaxQueuedMessagesPerClient, Bytes: t.MaxQueuedBytesPerClient},
		TTL: t.TTL, FlushDelay: t.FlushDelay, Weight: t.Weight,
		MaxInFlight: t.MaxInFlight, AckTimeout: t.AckTimeout, MaxRetries: t.MaxRetries, RetryBackoff: t.RetryBackoff,
		Snapshot: t.Snapshot, SnapshotMax: weir.Limits{Messages: t.SnapshotMaxKeys, Bytes: t.SnapshotMaxBytes},
		Retention: weir.Retention{MaxAge: t.Retention.MaxAge, MaxBytes: t.Retention.MaxBytes},
		History:   t.History, HistoryBytes: t.HistoryMaxBytes,
		WebsocketOnly: !t.AllowPolling, AuthRequired: t.AuthRequired,
	}
	if t.SnapshotMaxKeys == 0 {
		if t.Snapshot {
			r.wrong(at.of(r, "snapshot"), "true has nothing to send of topic %q: snapshotMaxKeys is 0", t.Name)
		}
		o.SnapshotMax.Messages = weir.Off // in weir.TopicOptions 0 is the default
	}
	if t.MaxRetries == 0 {
		o.MaxRetries = weir.Off // in weir.TopicOptions 0 is the default
	}
	if t.Key != "" && o.Overflow == weir.Coalesce {
		o.Key = t.Key
	}
	return o
}

// checkReliable holds the rules of AT_LEAST_ONCE (configuration.md, protocol.md 3.13).
func (r *reader) checkReliable(t *topic, at policyPaths) {
	if t.OverflowAction != weir.RejectNew && t.OverflowAction != weir.SpillToDisk && t.OverflowAction != weir.DisconnectClient {
		r.wrong(at.of(r, "overflowAction"), "%v cannot keep the promise of topic %q, which is AT_LEAST_ONCE: want REJECT_NEW, SPILL_TO_DISK or DISCONNECT", t.OverflowAction, t.Name)
	}
	if t.Coalesce {
		r.wrong(at.of(r, "coalesce"), "true cannot keep the promise of topic %q, which is AT_LEAST_ONCE: want false", t.Name)
	}
	if r.mode == streamFenceMode && t.MaxRetries < 1 {
		r.wrong(at.of(r, "maxRetries"), `%d is not enough for topic %q, which is AT_LEAST_ONCE: StreamFence wants 1 or more ("weir: 1" allows 0)`, t.MaxRetries, t.Name)
	}
	if t.MaxInFlight <= t.MaxQueuedMessagesPerClient {
		return
	}
	if path := at.of(r, "maxInFlight"); r.isSet(path) {
		r.wrong(path, "%d is more than maxQueuedMessagesPerClient of topic %q: want at most %d", t.MaxInFlight, t.Name, t.MaxQueuedMessagesPerClient)
	}
	t.MaxInFlight = t.MaxQueuedMessagesPerClient
	r.places[at.topic+".maxInFlight"] = place{} // a default of this topic alone: it is shown
}

// overflow maps StreamFence's coalesce and Weir's key. StreamFence's coalesce key is the topic's name, so at most one
// unsent message exists and the newest wins: exactly SNAPSHOT_ONLY. Without coalesce its COALESCE never finds a match
// and is REJECT_NEW (protocol.md 3.3).
func (r *reader) overflow(t *topic, at policyPaths) weir.Overflow {
	if t.DeliveryMode == weir.AtLeastOnce {
		return t.OverflowAction
	}
	path := at.of(r, "key")
	switch {
	case t.Key != "" && t.Coalesce:
		r.wrong(path, "%q keeps one message for each value, coalesce: true one for the topic: remove one of them", t.Key)
	case t.Key != "" && !pointer(t.Key):
		r.wrong(path, `%q is not a JSON pointer: want "/name", "/outer/inner" or "/0", with ~0 for "~" and ~1 for "/"`, t.Key)
	case t.Key != "" && t.OverflowAction != weir.Coalesce && strings.HasPrefix(path, at.topic):
		r.wrong(path, "%q has no effect with overflowAction %v: only COALESCE uses a key", t.Key, t.OverflowAction)
	}
	switch {
	case t.Coalesce:
		return weir.SnapshotOnly
	case r.mode == streamFenceMode && t.OverflowAction == weir.Coalesce && t.Key == "":
		r.warn(at.of(r, "overflowAction"), "COALESCE without coalesce: true works as REJECT_NEW on topic %q, as in StreamFence; add coalesce: true, or a key", t.Name)
		return weir.RejectNew
	}
	return t.OverflowAction
}

// pointer reports whether text is an RFC 6901 JSON pointer below the root.
func pointer(text string) bool {
	if !strings.HasPrefix(text, "/") {
		return false
	}
	for i := range len(text) {
		if text[i] == '~' && (i+1 == len(text) || (text[i+1] != '0' && text[i+1] != '1')) {
			return false
		}
	}
	return true
}
