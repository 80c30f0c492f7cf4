package admin

import (
	"fmt"
	"strings"
	"time"

	"github.com/streamweir/weir/internal/metrics"
)

// verdict says in one sentence who lags, and so where to look.
type verdict struct {
	Kind     string    `json:"kind"`              // nobody, disk, node, topic, network, everyone or scattered
	Problem  string    `json:"problem,omitempty"` // lag: messages wait; loss: they are dropped or replaced; disk: something is wrong with it. Nobody has none
	Subject  string    `json:"subject,omitempty"` // the topic or network
	Node     string    `json:"node,omitempty"`    // whose verdict this is, where all are asked
	Since    time.Time `json:"since,omitzero"`    // everyone, disk
	Sentence string    `json:"sentence"`
}

// The kinds of verdict.
const (
	kindNobody    = "nobody"
	kindDisk      = "disk"
	kindNode      = "node"
	kindTopic     = "topic"
	kindNetwork   = "network"
	kindEveryone  = "everyone"
	kindScattered = "scattered"
)

// The problems of clients that a verdict names.
const (
	problemLag  = "lag"
	problemLoss = "loss"
	problemDisk = "disk"
)

// evidence is what the verdict is found from.
type evidence struct {
	clients, lagging int
	topics           []share       // by concrete topic
	networks         []share       // by /24 or /64
	loop             time.Duration // p99.9 of the loops' steps
	publications     int           // waiting in the inboxes
	budget           float64       // share in use
	since            time.Time     // when most clients began to lag; zero if they do not
	disk             []trouble     // what is wrong with the journal's
}

// share is the clients that have something in common, and how many of them lag.
type share struct {
	name             string
	clients, lagging int
}

// Where ordinary ends. Below minLagging clients nothing is said of what they have
// in common: two clients always have something.
const (
	slowLoop     = 50 * time.Millisecond // a step this long is felt by every client
	deepInbox    = 1000                  // publications
	fullBudget   = 0.8                   // where shedding begins by default
	most         = 0.5                   // of a share lags: the share is the subject
	nearlyAll    = 0.8                   // of those who lag are in it
	minLagging   = 3
	fewOutsiders = 1 - nearlyAll
)

// trouble is something that is wrong with a disk.
type trouble = metrics.Trouble

// judge finds the verdict: what is wrong with the disk, which comes first because it explains who lags and what is
// refused; who lags, and if nobody does, who loses. Of what is there besides another sentence tells.
func (e *evidence) judge(l *losses) verdict {
	v := e.judgeClients(l)
	if len(e.disk) == 0 {
		return v
	}
	d := e.judgeDisk()
	if v.Kind != kindNobody {
		d.Sentence += " " + v.Sentence
	}
	return d
}

// judgeDisk says what is wrong with the disk, and whom that concerns.
func (e *evidence) judgeDisk() verdict {
	t := e.disk[0]
	v := verdict{Kind: kindDisk, Problem: problemDisk, Subject: t.What, Since: t.Since}
	v.Sentence = strings.ToUpper(t.Sentence[:1]) + t.Sentence[1:] + sinceText(t.Since)
	for _, also := range e.disk[1:] {
		v.Sentence += ", and " + also.Sentence + sinceText(also.Since)
	}
	v.Sentence += ": " + t.Detail + "."
	return v
}

// judgeClients finds who lags or loses.
func (e *evidence) judgeClients(l *losses) verdict {
	v := e.judgeLag()
	switch {
	case l.losing == 0:
	case v.Kind == kindNobody:
		return e.judgeLoss(l)
	default:
		v.Sentence += " " + e.judgeLoss(l).Sentence
	}
	return v
}

// judgeLag finds who lags. A node that is behind explains everything else, so it
// comes first; then the narrowest thing that those who lag have in common.
func (e *evidence) judgeLag() (v verdict) {
	defer func() {
		if v.Kind != kindNobody {
			v.Problem = problemLag
		}
	}()
	if why := e.nodeBehind(); why != "" {
		return verdict{Kind: kindNode, Sentence: "This node is behind: " + why + "."}
	}
	if e.lagging == 0 {
		return verdict{Kind: kindNobody, Sentence: fmt.Sprintf("Nobody lags: no message waits for more than a second for any of %d clients, and nobody loses many.", e.clients)}
	}
	if s, ok := e.common(e.networks); ok {
		return verdict{Kind: kindNetwork, Subject: s.name, Sentence: fmt.Sprintf(
			"One network lags: %s, with %d of its %d clients; elsewhere %s.", s.name, s.lagging, s.clients, e.elsewhere(s))}
	}
	if s, ok := e.common(e.topics); ok {
		return verdict{Kind: kindTopic, Subject: s.name, Sentence: fmt.Sprintf(
			"One topic lags: %s, with %d of its %d clients; the other topics are on time.", s.name, s.lagging, s.clients)}
	}
	if part(e.lagging, e.clients) >= most && e.lagging >= minLagging {
		return verdict{Kind: kindEveryone, Since: e.since, Sentence: fmt.Sprintf(
			"Everyone lags: %d of %d clients%s.", e.lagging, e.clients, sinceText(e.since))}
	}
	return verdict{Kind: kindScattered, Sentence: fmt.Sprintf(
		"%d of %d clients lag, with no topic or network in common: see /api/clients.", e.lagging, e.clients)}
}

// nodeBehind says what is wrong with the node itself. A slow loop alone, with
// nobody who lags, is not worth a sentence.
func (e *evidence) nodeBehind() string {
	var why []string
	if e.lagging > 0 && e.loop >= slowLoop {
		why = append(why, fmt.Sprintf("steps of its event loops take %d ms (p99.9)", e.loop.Milliseconds()))
	}
	if e.publications >= deepInbox {
		why = append(why, fmt.Sprintf("%d publications wait in its inboxes", e.publications))
	}
	if e.budget >= fullBudget {
		why = append(why, fmt.Sprintf("%.0f %% of its memory budget is in use", e.budget*100))
	}
	return strings.Join(why, ", ")
}

// common finds the share that explains the lag: most of it lags, nearly all who
// lag are in it, and there is something outside of it that is on time.
func (e *evidence) common(shares []share) (share, bool) {
	for _, s := range shares {
		if s.lagging < minLagging || part(s.lagging, s.clients) < most || part(s.lagging, e.lagging) < nearlyAll {
			continue
		}
		outside, onTime := 0, false
		for _, o := range shares {
			if o.name != s.name {
				outside = max(outside, o.lagging)
				onTime = onTime || part(o.lagging, o.clients) < most
			}
		}
		if onTime && part(outside, e.lagging) <= fewOutsiders {
			return s, true
		}
	}
	return share{}, false
}

func (e *evidence) elsewhere(s share) string {
	return fmt.Sprintf("%d of %d", max(e.lagging-s.lagging, 0), max(e.clients-s.clients, 0))
}

func part(n, of int) float64 {
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of)
}

func sinceText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return ", since " + t.UTC().Format("15:04:05 UTC")
}
