package admin

import (
	"sync"
	"time"

	"github.com/streamweir/weir/internal/delivery"
)

// rateView is what happened to a topic a second, over how many seconds.
type rateView struct {
	Published float64 `json:"published"`
	Written   float64 `json:"written"`
	Dropped   float64 `json:"dropped"`
	Replaced  float64 `json:"replaced"`
	Seconds   float64 `json:"seconds"`
}

// rates remembers what the topics had counted at earlier looks: 10 to 20 seconds of them, or as long as the process runs.
type rates struct {
	began time.Time
	mu    sync.Mutex
	by    map[*delivery.Declared]*rateSamples
}

type rateSamples struct{ old, new rateSample }

type rateSample struct {
	at                                    time.Time
	published, written, dropped, replaced uint64
}

// of returns the rates of a topic now.
func (r *rates) of(d *delivery.Declared, now time.Time) rateView {
	t := d.Totals()
	s := rateSample{at: now, published: d.Published.Load(), written: t.Written, replaced: t.Coalesced}
	for _, n := range t.Dropped {
		s.dropped += n
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.by == nil {
		r.by = make(map[*delivery.Declared]*rateSamples)
	}
	m := r.by[d]
	if m == nil {
		first := rateSample{at: r.began}
		m = &rateSamples{old: first, new: first}
		r.by[d] = m
	}
	from := m.old
	if from.at.Equal(r.began) && now.Sub(m.new.at) >= time.Second {
		from = m.new
	}
	if now.Sub(m.new.at) >= loopWindow || m.new.at.Equal(r.began) {
		m.old, m.new = m.new, s
	}
	return s.since(from)
}

func (s rateSample) since(from rateSample) rateView {
	seconds := s.at.Sub(from.at).Seconds()
	if seconds <= 0 {
		return rateView{}
	}
	each := func(n, before uint64) float64 { return float64(int64(float64(n-before)/seconds*10+0.5)) / 10 }
	return rateView{
		Published: each(s.published, from.published), Written: each(s.written, from.written), Dropped: each(s.dropped, from.dropped),
		Replaced: each(s.replaced, from.replaced), Seconds: float64(int64(seconds*10+0.5)) / 10,
	}
}
