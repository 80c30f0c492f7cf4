package swarm

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Histograms count microseconds from 1 to 10 minutes to three digits; what is longer counts as ten minutes.
const (
	shortest = 1
	longest  = int64(10 * time.Minute / time.Microsecond)
	digits   = 3
)

// NewHistogram returns an empty histogram as snapshots have them.
func NewHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(shortest, longest, digits) }

// record adds a duration in microseconds, brought within the histogram's bounds.
func record(h *hdrhistogram.Histogram, us int64) {
	_ = h.RecordValue(min(max(us, shortest), longest)) // within its bounds by construction
}

// Snapshot is what a group does now, and what it counted since the last Snapshot. It survives JSON: histograms travel
// as HdrHistogram's V2 encoding.
type Snapshot struct {
	Group string `json:"group"`

	// Now. Together they are Asked, but for clients whose turn to connect has not come.
	Asked      int `json:"asked"`
	Ready      int `json:"ready"`
	Connecting int `json:"connecting"`
	Waiting    int `json:"waiting"` // to reconnect
	Leaving    int `json:"leaving"` // told to leave, not closed yet
	Left       int `json:"left"`    // closed in order
	Gone       int `json:"gone"`    // lost for good

	// Since the last Snapshot.
	Connects    int64                   `json:"connects"` // became ready
	Failures    map[string]int64        `json:"failures"` // attempts that failed, by reason
	Lost        map[string]int64        `json:"lost"`     // ready clients that were cut, by reason as they saw it
	ConnectTime *hdrhistogram.Histogram `json:"-"`        // from connect() until ready

	Deliveries int64                   `json:"deliveries"` // of Spec.Event
	Bytes      int64                   `json:"bytes"`      // read from sockets, handshakes included
	Skipped    int64                   `json:"skipped"`    // messages that are not deliveries: other events, binary ones, events without numbers
	Gaps       int64                   `json:"gaps"`       // numbers skipped; what is missing in the end is Gaps - Late
	Late       int64                   `json:"late"`       // numbers counted in Gaps that came after all
	Disorder   int64                   `json:"disorder"`   // deliveries after one with a higher number, not seen before
	Duplicates int64                   `json:"duplicates"` // deliveries seen before
	Latency    *hdrhistogram.Histogram `json:"-"`          // since t of the delivery
	Newest     int64                   `json:"newest"`     // highest number seen by any so far; -1: none

	Emitted     int64                   `json:"emitted"`
	Acked       int64                   `json:"acked"`   // answered, also with a refusal
	Refused     int64                   `json:"refused"` // answered {"ok":false,…}
	EmitLatency *hdrhistogram.Histogram `json:"-"`

	Loop struct {
		Busy time.Duration `json:"busy"` // CPU time of the loop's thread, on the first group only
	} `json:"loop"`
}

// encoded is the JSON form.
type encoded struct {
	plain
	ConnectTime string `json:"connectTime"`
	Latency     string `json:"latency"`
	EmitLatency string `json:"emitLatency"`
}

type plain Snapshot

// MarshalJSON implements json.Marshaler.
func (s Snapshot) MarshalJSON() ([]byte, error) {
	e := encoded{plain: plain(s)}
	for _, h := range []struct {
		text *string
		from *hdrhistogram.Histogram
	}{{&e.ConnectTime, s.ConnectTime}, {&e.Latency, s.Latency}, {&e.EmitLatency, s.EmitLatency}} {
		if h.from == nil || h.from.TotalCount() == 0 {
			continue
		}
		b, err := h.from.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
		if err != nil {
			return nil, fmt.Errorf("encode a histogram of group %q: %w", s.Group, err)
		}
		*h.text = string(b)
	}
	return json.Marshal(e)
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *Snapshot) UnmarshalJSON(b []byte) error {
	var e encoded
	if err := json.Unmarshal(b, &e); err != nil {
		return err
	}
	*s = Snapshot(e.plain)
	for _, h := range []struct {
		text string
		into **hdrhistogram.Histogram
	}{{e.ConnectTime, &s.ConnectTime}, {e.Latency, &s.Latency}, {e.EmitLatency, &s.EmitLatency}} {
		*h.into = NewHistogram()
		if h.text == "" {
			continue
		}
		decoded, err := hdrhistogram.Decode([]byte(h.text))
		if err != nil {
			return fmt.Errorf("decode a histogram of group %q: %w", s.Group, err)
		}
		(*h.into).Merge(decoded)
	}
	return nil
}

// Merge adds s to into, which may be the zero Snapshot: of the same group in another process, or of a later interval,
// whose state then has to be set by the caller. Newest is the higher one.
func Merge(into *Snapshot, s Snapshot) {
	if into.ConnectTime == nil {
		*into = Snapshot{
			Group: s.Group, Newest: -1, Failures: map[string]int64{}, Lost: map[string]int64{},
			ConnectTime: NewHistogram(), Latency: NewHistogram(), EmitLatency: NewHistogram(),
		}
	}
	into.Asked += s.Asked
	into.Ready += s.Ready
	into.Connecting += s.Connecting
	into.Waiting += s.Waiting
	into.Leaving += s.Leaving
	into.Left += s.Left
	into.Gone += s.Gone
	into.mergeCounts(s)
}

func (s *Snapshot) mergeCounts(from Snapshot) {
	s.Connects += from.Connects
	for reason, n := range from.Failures {
		s.Failures[reason] += n
	}
	for reason, n := range from.Lost {
		s.Lost[reason] += n
	}
	s.Deliveries += from.Deliveries
	s.Bytes += from.Bytes
	s.Skipped += from.Skipped
	s.Gaps += from.Gaps
	s.Late += from.Late
	s.Disorder += from.Disorder
	s.Duplicates += from.Duplicates
	s.Newest = max(s.Newest, from.Newest)
	s.Emitted += from.Emitted
	s.Acked += from.Acked
	s.Refused += from.Refused
	s.Loop.Busy += from.Loop.Busy
	for _, h := range []struct{ into, from *hdrhistogram.Histogram }{
		{s.ConnectTime, from.ConnectTime}, {s.Latency, from.Latency}, {s.EmitLatency, from.EmitLatency},
	} {
		if h.from != nil {
			h.into.Merge(h.from)
		}
	}
}
