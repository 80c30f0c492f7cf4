package admin

import (
	"time"

	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/metrics"
	"github.com/streamweir/weir/internal/survey"
)

// behindView is what waits on disk for lanes that are behind the log of their topic.
type behindView struct {
	Clients  int       `json:"clients"`
	Messages int64     `json:"messages"` // once for each client
	Bytes    int64     `json:"bytes"`
	Since    time.Time `json:"since,omitzero"` // when the first of them fell behind
}

// journalView is the log on disk, in /api/stats.
type journalView struct {
	UsedBytes  int64              `json:"usedBytes"`
	LimitBytes int64              `json:"limitBytes"`
	Appended   uint64             `json:"appended"` // records
	Refused    uint64             `json:"refused"`  // records that the disk, its budget or what waits for it has refused
	Syncs      latencyView        `json:"syncs"`
	Reads      readsView          `json:"reads"`
	Damaged    uint64             `json:"damaged"`
	Torn       uint64             `json:"torn"`
	Troubles   []trouble          `json:"troubles,omitempty"`
	Topics     []journalTopicView `json:"topics"`
}

type readsView struct {
	Memory uint64 `json:"memory"`
	Disk   uint64 `json:"disk"`
	Failed uint64 `json:"failed"`
}

type journalTopicView struct {
	Namespace string `json:"namespace"`
	Topic     string `json:"topic"` // as declared: a pattern's are added up
	Bytes     int64  `json:"bytes"`
	Unsynced  int64  `json:"unsyncedBytes"`
	Segments  int    `json:"segments"`
}

func viewJournal(j *metrics.Journal) *journalView {
	if j == nil {
		return nil
	}
	v := &journalView{
		UsedBytes: j.Used, LimitBytes: j.Limit, Appended: j.Appended, Refused: j.Failed + j.Busy, Syncs: viewLatency(j.Sync),
		Reads: readsView{j.TailReads, j.DiskReads, j.ReadsFailed}, Damaged: j.Damaged, Torn: j.Torn, Troubles: j.Troubles, Topics: []journalTopicView{},
	}
	for _, t := range j.Topics {
		v.Topics = append(v.Topics, journalTopicView(t))
	}
	return v
}

// add counts a lane that is behind.
func (b *behindView) add(l *survey.Lane) {
	b.Clients++
	b.Messages += int64(l.Spilled)
	b.Bytes += l.SpilledBytes
	if b.Since.IsZero() || l.BehindSince.Before(b.Since) {
		b.Since = l.BehindSince
	}
}

// behindAll is what all clients are behind by.
func behindAll(h *delivery.Hub, found *survey.Found) (all behindView) {
	all.Clients = found.Behind
	for _, n := range namespacesOf(h) {
		for _, d := range n.Topics() {
			t := d.Totals()
			all.Messages += t.Spilled
			all.Bytes += t.SpilledBytes
		}
	}
	for i := range found.Clients {
		if t := found.Clients[i].BehindSince; !t.IsZero() && (all.Since.IsZero() || t.Before(all.Since)) {
			all.Since = t
		}
	}
	return all
}
