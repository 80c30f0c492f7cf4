package admin

import (
	"context"
	"fmt"
	"time"

	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/survey"
)

// loserView is a client that loses, with the lane that loses most.
type loserView struct {
	ID        string `json:"id"`
	Namespace string `json:"namespace"`
	Topic     string `json:"topic"`
	Principal string `json:"principal,omitempty"`
	Address   string `json:"address,omitempty"`
	survey.Loss
}

// boardLosers is how many clients that lose the board names.
const boardLosers = 10

// firstLook is how long a board waits for a second look where lanes have lost messages and nobody has looked at them
// before: what their books say could be of long ago.
const firstLook = 1100 * time.Millisecond

// losses is what a board knows of the clients that lose.
type losses struct {
	losing                     int
	offered, dropped, replaced uint64 // of their lanes that lose
	topics, networks           []share
	named                      []loserView
}

// survey walks over all clients, and once more where the first walk could not know who loses.
func (b *board) survey(ctx context.Context, h *delivery.Hub) (found survey.Found, err error) {
	q := survey.Query{Sort: survey.ByLag, Limit: boardClients}
	found, err = h.Survey(ctx, q)
	if err != nil || found.Unknown == 0 {
		return found, err
	}
	t := time.NewTimer(firstLook)
	defer t.Stop()
	select {
	case <-t.C:
		return h.Survey(ctx, q)
	case <-ctx.Done():
		return found, nil
	}
}

// findLosses walks once more, for those who lose most.
func findLosses(ctx context.Context, h *delivery.Hub, losing int) (losses, error) {
	out := losses{losing: losing}
	if losing == 0 {
		return out, nil
	}
	found, err := h.Survey(ctx, survey.Query{Sort: survey.ByLoss, Limit: boardClients})
	if err != nil {
		return out, fmt.Errorf("walk over the clients that lose: %w", err)
	}
	t := &tally{topics: make(map[topicName]*topicTally), networks: make(map[string]*share)}
	for i := range found.Clients {
		v := &found.Clients[i]
		if name := networkOf(v.Address); name != "" {
			t.network(name).count(v.Losing)
		}
		var worst *survey.Lane
		for j := range v.Lanes {
			l := &v.Lanes[j]
			if l.Offered == 0 {
				continue
			}
			s := t.topic(topicName{v.Namespace, l.Topic})
			s.clients++
			if l.Loss == nil || !l.Loss.Losing {
				continue
			}
			s.lagging++
			out.offered, out.dropped, out.replaced = out.offered+l.Loss.Offered, out.dropped+l.Loss.Dropped, out.replaced+l.Loss.Replaced
			if worst == nil || l.Loss.Share > worst.Loss.Share {
				worst = l
			}
		}
		if worst != nil && len(out.named) < boardLosers {
			out.named = append(out.named, loserView{v.ID, v.Namespace, worst.Topic, v.Principal, v.Address, *worst.Loss})
		}
	}
	out.topics, out.networks = t.topicShares(nil), t.networkShares()
	return out, nil
}

// judgeLoss finds in one sentence who loses. A client that loses reads more slowly than is published for it: it is served
// as the policy says, so this comes after what waits.
func (e *evidence) judgeLoss(l *losses) verdict {
	v := verdict{Problem: problemLoss}
	of := evidence{clients: e.clients, lagging: l.losing}
	much := fmt.Sprintf("lose %s of what is published for them, though nothing waits long", l.shares())
	if s, ok := of.common(l.networks); ok {
		v.Kind, v.Subject = kindNetwork, s.name
		v.Sentence = fmt.Sprintf("One network loses: %d of the %d clients of %s %s; elsewhere %s.", s.lagging, s.clients, s.name, much, of.elsewhere(s))
		return v
	}
	topic := of.nearlyAllIn(l.topics)
	switch {
	case topic != "" && part(l.losing, e.clients) < most:
		v.Kind, v.Subject = kindTopic, topic
		v.Sentence = fmt.Sprintf("%d of %d clients read %s more slowly than it is published: they %s.", l.losing, e.clients, topic, much)
	case part(l.losing, e.clients) >= most:
		v.Kind, v.Sentence = kindEveryone, fmt.Sprintf("Everyone loses: %d of %d clients %s.", l.losing, e.clients, much)
		if topic != "" {
			v.Subject = topic
			v.Sentence = fmt.Sprintf("Everyone loses of %s: %d of %d clients %s.", topic, l.losing, e.clients, much)
		}
	default:
		v.Kind = kindScattered
		v.Sentence = fmt.Sprintf("%d of %d clients %s; they have no topic or network in common: see /api/clients?sort=loss.", l.losing, e.clients, much)
	}
	return v
}

// nearlyAllIn is the topic in which nearly all who lag do, "" if there is none.
func (e *evidence) nearlyAllIn(topics []share) string {
	for _, s := range topics {
		if part(s.lagging, e.lagging) >= nearlyAll {
			return s.name
		}
	}
	return ""
}

// shares is what those who lose lost, as a share of what was published for them.
func (l *losses) shares() string {
	percent := func(n uint64) float64 { return 100 * float64(n) / float64(max(l.offered, 1)) }
	switch {
	case l.replaced == 0:
		return fmt.Sprintf("%.0f %%", percent(l.dropped))
	case l.dropped == 0:
		return fmt.Sprintf("%.0f %% (replaced by newer values)", percent(l.replaced))
	default:
		return fmt.Sprintf("%.0f %% (dropped %.0f %%, replaced by newer values %.0f %%)", percent(l.dropped+l.replaced), percent(l.dropped), percent(l.replaced))
	}
}
