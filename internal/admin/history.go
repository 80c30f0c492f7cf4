package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
)

// What one answer of GET /api/history holds, and how many of them are made at the same time.
const (
	historyRecords = 100
	HistoryMost    = 1000 // records
	historyBytes   = 1 << 20
	maxHistories   = 16
)

// HistoryRequest is what is asked of the log of a topic.
type HistoryRequest struct {
	Namespace, Topic string
	Epoch            string // of From; "" = the log's, whatever it is
	From             uint64 // the first offset wanted; 0 = the newest records
	Records, Bytes   int    // at most; one record is answered whatever its size
}

// History reads the logs of topics. Its errors are Publisher's.
type History func(ctx context.Context, r HistoryRequest) (delivery.PastPage, error)

// Page is what was read of the log of a topic, as it is answered.
type Page struct {
	Epoch   string     `json:"epoch"`
	First   uint64     `json:"first"` // the oldest record kept; last+1 if there is none
	Last    uint64     `json:"last"`
	Records []PageItem `json:"records"`
	Next    uint64     `json:"next"` // from where to go on
	Lost    bool       `json:"lost"` // some of what was asked for was there once and is not any more
}

// PageItem is one publication.
type PageItem struct {
	Offset        uint64          `json:"offset"`
	Previous      uint64          `json:"previous"`
	MessageID     string          `json:"messageId"`
	Key           string          `json:"key,omitempty"`
	At            time.Time       `json:"at"`
	Expires       time.Time       `json:"expires,omitzero"`
	To            *pageTo         `json:"to,omitempty"`
	Payload       json.RawMessage `json:"payload,omitempty"`
	PayloadBase64 []byte          `json:"payloadBase64,omitzero"`
	TooLarge      int             `json:"tooLarge,omitempty"` // bytes of a payload that is left out
}

type pageTo struct {
	Socket    string `json:"socket,omitempty"`
	Principal string `json:"principal,omitempty"`
	Room      string `json:"room,omitempty"`
}

// NewPage views what was read. Payloads of more than most bytes are left out.
func NewPage(b delivery.PastPage, most int) Page {
	p := Page{Epoch: b.Epoch, First: b.First, Last: b.Last, Next: b.Next + 1, Lost: b.Lost, Records: make([]PageItem, 0, len(b.Placements))}
	for _, e := range b.Placements {
		r := PageItem{Offset: e.Offset, Previous: e.Previous, MessageID: e.ID, Key: e.Key, At: time.Unix(0, e.At).UTC()}
		if e.Expires != 0 {
			r.Expires = time.Unix(0, e.Expires).UTC()
		}
		if !e.To.Everybody() {
			r.To = &pageTo{e.To.Socket, e.To.Principal, e.To.Room}
		}
		switch {
		case len(e.Payload) > most:
			r.TooLarge = len(e.Payload)
		case e.Binary:
			r.PayloadBase64 = append([]byte{}, e.Payload...) // never nil: "" is a payload too
		default:
			r.Payload = e.Payload
		}
		p.Records = append(p.Records, r)
	}
	return p
}

// history serves GET /api/history: what the log of a topic keeps, a page of it.
func (a *api) history(w http.ResponseWriter, r *http.Request) error {
	q := parseQuery(r.URL)
	ask := HistoryRequest{Namespace: q.text("namespace"), Topic: q.text("topic"), Epoch: q.text("epoch"), From: q.offset("from"), Bytes: historyBytes}
	ask.Records = q.count("limit", historyRecords, 1, HistoryMost)
	if ask.Namespace == "" {
		q.wrong("namespace", "missing")
	}
	if ask.Topic == "" {
		q.wrong("topic", "missing")
	}
	if err := q.end(); err != nil {
		return err
	}
	if err := callerOf(r.Context()).admit(ask.Namespace); err != nil {
		return err
	}
	if _, err := a.declared(ask.Namespace, ask.Topic); err != nil {
		return err
	}
	if a.History == nil {
		return refuse(base.CodeUnsupported, "there is no history here")
	}
	select {
	case a.histories <- struct{}{}:
		defer func() { <-a.histories }()
	default:
		return refuse(base.CodeBusy, "%d requests for history are being answered", maxHistories)
	}
	ctx, cancel := context.WithTimeout(r.Context(), a.PublishTimeout)
	defer cancel()
	b, err := a.History(ctx, ask)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, NewPage(b, int(a.MaxBody)))
}

// offset takes an offset: 0 if it is left out, and 1 for the 0 that none has.
func (q *query) offset(name string) uint64 {
	v := q.text(name)
	if v == "" {
		return 0
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil || n > MaxOffset {
		q.wrong(name, "want an offset, 0 to %d, not %q", uint64(MaxOffset), v)
	}
	return max(n, 1)
}

// MaxOffset is the highest offset that can be asked for: every JSON reader has whole numbers up to there.
const MaxOffset = 1<<53 - 1
