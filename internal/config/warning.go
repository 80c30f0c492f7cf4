package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/streamweir/weir"
)

// warn books what works, but perhaps not as expected. One text is said once for each place.
func (r *reader) warn(path, format string, args ...any) {
	at := r.at(path)
	w := Warning{File: at.file, Line: at.line, Column: at.column, Path: path, Message: fmt.Sprintf(format, args...)}
	if !slices.Contains(r.warnings, w) {
		r.warnings = append(r.warnings, w)
	}
}

// warnMode tells who may have meant a file of Weir's. "weir: 0" says that StreamFence's is meant.
func (r *reader) warnMode() {
	if r.mode == streamFenceMode && !r.isSet("weir") {
		r.warn("weir", "without it this is a file of StreamFence JS and has its defaults (a full lane rejects the newest; a reliable topic waits for each ack); for Weir's, add the line: weir: 1; to keep StreamFence's: weir: 0")
	}
}

// warnNamespace tells where StreamFence's defaults bite, with the effect in numbers (configuration.md).
func (r *reader) warnNamespace(path string, n *namespace) {
	if r.mode != streamFenceMode {
		return
	}
	if !r.isSet(path + ".clientPublish") {
		r.warn(path+".clientPublish", "clients may not publish here, unlike in StreamFence; to let them, add the line: clientPublish: allow")
	}
	r.warnOfEach(path, n, rejects)
	r.warnOfEach(path, n, stopsAndWaits)
	r.warnOfEach(path, n, givesUp)
}

// warnOfEach says the same of several topics in one sentence.
func (r *reader) warnOfEach(path string, n *namespace, effect func(*policy) (key, text string)) {
	type group struct{ key, text string }
	topics := map[group][]string{}
	for i := range n.Topics {
		if key, text := effect(&n.Topics[i].policy); text != "" {
			g := group{key, text}
			topics[g] = append(topics[g], n.Topics[i].Name)
		}
	}
	for _, g := range slices.SortedFunc(maps.Keys(topics), func(a, b group) int { return strings.Compare(a.text, b.text) }) {
		r.warn(path+"."+g.key, "%s: %s", strings.Join(topics[g], ", "), g.text)
	}
}

// rejects: a full lane loses the newest.
func rejects(p *policy) (key, text string) {
	full := p.OverflowAction == weir.RejectNew || (p.OverflowAction == weir.Coalesce && p.Key == "")
	if !full || p.Coalesce {
		return "", ""
	}
	instead := "DROP_OLDEST keeps the newest"
	if p.DeliveryMode == weir.AtLeastOnce {
		instead = "DISCONNECT makes it start afresh instead"
	}
	n := p.MaxQueuedMessagesPerClient
	return "overflowAction", fmt.Sprintf("REJECT_NEW with %d messages: at 100 messages/s a client that stalls for more than %s loses the newest and keeps the oldest; %s",
		n, seconds(time.Duration(n)*10*time.Millisecond), instead)
}

// stopsAndWaits: a window of one needs a round trip for each message.
func stopsAndWaits(p *policy) (key, text string) {
	if p.DeliveryMode != weir.AtLeastOnce || p.MaxInFlight > 1 {
		return "", ""
	}
	const roundTrip = 50 * time.Millisecond
	return "maxInFlight", fmt.Sprintf("maxInFlight 1: at %d ms round trip one client gets at most %d messages/s of a topic; a message that is not acknowledged holds up those behind it for ackTimeoutMs, %s",
		roundTrip.Milliseconds(), time.Second/roundTrip, seconds(p.AckTimeout))
}

// givesUp: few retries make at least once mean not for long.
func givesUp(p *policy) (key, text string) {
	if p.DeliveryMode != weir.AtLeastOnce || p.MaxRetries > 1 {
		return "", ""
	}
	patience := p.AckTimeout
	for range p.MaxRetries {
		patience += p.AckTimeout
	}
	return "maxRetries", fmt.Sprintf("maxRetries %d with ackTimeoutMs %d: a message that a client does not acknowledge within %s is lost to it",
		p.MaxRetries, p.AckTimeout.Milliseconds(), seconds(patience))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%g s", d.Seconds()) }

// defaultRetention is retention.maxBytes where it is 0.
const defaultRetention = 1 << 30

// warnRetentions tells of topics that may keep more than the journal has for all of them.
func (r *reader) warnRetentions(d *document) {
	for _, name := range slices.Sorted(maps.Keys(d.Servers)) {
		s := d.Servers[name]
		for i := range s.Namespaces {
			namespace := fmt.Sprintf("%s.namespaces[%d]", below("servers", name), i)
			for k := range s.Namespaces[i].Topics {
				at := policyPaths{namespace: namespace, topic: fmt.Sprintf("%s.topics[%d]", namespace, k)}
				r.warnRetention(&s.Namespaces[i].Topics[k], at, &d.Journal)
			}
		}
	}
}

func (r *reader) warnRetention(t *topic, at policyPaths, j *journalKeys) {
	keeps, of := t.Retention.MaxBytes, ""
	if keeps == 0 {
		keeps, of = defaultRetention, ", the default,"
	}
	if t.OverflowAction != weir.SpillToDisk && t.Retention == (retentionKeys{}) || keeps <= j.MaxBytes {
		return
	}
	then := "what is published is refused when that is full"
	if weir.WhenFull(j.WhenFull) == weir.WhenFullDropOldest {
		then = "the oldest records of any topic go when that is full"
	}
	r.warn(at.of(r, "retention")+".maxBytes", "%d%s is more than journal.maxBytes, %d, which all topics share: %s", keeps, of, j.MaxBytes, then)
}
