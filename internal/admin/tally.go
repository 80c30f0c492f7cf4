package admin

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/streamweir/weir/internal/survey"
)

// tally counts the listed clients by topic and by network.
type tally struct {
	topics   map[topicName]*topicTally
	networks map[string]*share
}

type topicName struct{ namespace, topic string }

func (n topicName) String() string {
	if n.topic == "" {
		return "plain events of " + n.namespace
	}
	return n.topic + " of " + n.namespace
}

// topicTally is one topic's lanes; ages are those that wait.
type topicTally struct {
	name             topicName
	clients, lagging int
	ages             []int64 // ms
	behind           behindView
}

func tallyClients(clients []survey.Client) *tally {
	t := &tally{topics: make(map[topicName]*topicTally), networks: make(map[string]*share)}
	for i := range clients {
		v := &clients[i]
		if name := networkOf(v.Address); name != "" {
			t.network(name).count(lags(v))
		}
		for _, l := range v.Lanes {
			if l.Offered == 0 {
				continue // nothing was ever sent: that it is not late says nothing
			}
			t.topic(topicName{v.Namespace, l.Topic}).count(&l)
		}
	}
	return t
}

func (t *tally) network(name string) *share {
	s := t.networks[name]
	if s == nil {
		s = &share{name: name}
		t.networks[name] = s
	}
	return s
}

func (t *tally) topic(name topicName) *topicTally {
	s := t.topics[name]
	if s == nil {
		s = &topicTally{name: name}
		t.topics[name] = s
	}
	return s
}

func (s *share) count(lagging bool) {
	s.clients++
	if lagging {
		s.lagging++
	}
}

func (t *topicTally) count(l *survey.Lane) {
	t.clients++
	if !l.BehindSince.IsZero() {
		t.behind.add(l)
	}
	if l.Depth == 0 && l.BehindSince.IsZero() {
		return
	}
	t.ages = append(t.ages, l.OldestMs)
	if l.OldestMs > survey.LagAfter.Milliseconds() {
		t.lagging++
	}
}

// lag returns the topic's figures.
func (t *topicTally) lag() topicLag {
	slices.Sort(t.ages)
	return topicLag{
		Namespace: t.name.namespace, Topic: t.name.topic, Clients: t.clients, Lagging: t.lagging,
		Oldest: ageSummary{P50: rankOf(t.ages, 0.5), P99: rankOf(t.ages, 0.99), Max: rankOf(t.ages, 1)},
		Behind: t.behind,
	}
}

func rankOf(sorted []int64, q float64) int64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// waiting returns the topics somebody waits for, the oldest first.
func (t *tally) waiting() []topicLag {
	var list []topicLag
	for _, topic := range t.topics {
		if len(topic.ages) > 0 {
			list = append(list, topic.lag())
		}
	}
	slices.SortFunc(list, func(a, b topicLag) int {
		return cmp.Or(cmp.Compare(b.Oldest.Max, a.Oldest.Max), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Topic, b.Topic))
	})
	return list
}

// networkOf is the /24 or /64 of an address, "" if it is none.
func networkOf(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return ""
	}
	bits := 64
	if a = a.Unmap().WithZone(""); a.Is4() {
		bits = 24
	}
	return netip.PrefixFrom(a, bits).Masked().String()
}

// topicShares are all topics of the listed clients, with the counts of refined
// where the list was too short.
func (t *tally) topicShares(refined []topicLag) []share {
	shares := make(map[topicName]share)
	for name, topic := range t.topics {
		if name.topic == "" && len(topic.ages) == 0 {
			continue // an idle events lane is not a topic that is on time
		}
		shares[name] = share{name.String(), topic.clients, topic.lagging}
	}
	for _, r := range refined {
		name := topicName{r.Namespace, r.Topic}
		shares[name] = share{name.String(), r.Clients, r.Lagging}
	}
	return worst(slices.Collect(maps.Values(shares)))
}

func (t *tally) networkShares() []share {
	list := make([]share, 0, len(t.networks))
	for _, s := range t.networks {
		list = append(list, *s)
	}
	return worst(list)
}

// worst orders shares, those with most who lag first.
func worst(list []share) []share {
	slices.SortFunc(list, func(a, b share) int { return cmp.Or(cmp.Compare(b.lagging, a.lagging), cmp.Compare(a.name, b.name)) })
	return list
}
