package guard

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
)

// InboundAction is what becomes of what a client has sent beyond a rule. The worse ones are looked at first.
type InboundAction uint8

// The actions.
const (
	Pass       InboundAction = iota
	Throttle                 // it waits for its turn, and its connection is not read meanwhile
	Drop                     // it is answered with an error
	Disconnect               // its socket is sent away

	InboundActions = int(Disconnect) + 1
)

func (a InboundAction) String() string {
	return [InboundActions]string{"pass", "throttle", "drop", "disconnect"}[a]
}

// InboundScope is what a rule counts together.
type InboundScope uint8

// The scopes.
const (
	PerSocket    InboundScope = iota
	PerPrincipal              // who has proved nothing counts by address
	PerAddress                // by Subnet; who has none is not counted
)

// The packets by which a client joins a namespace and leaves it are Loads as events are. Their names are those of no event: the
// protocol has reserved them.
const (
	ConnectPacket    = "connect"
	DisconnectPacket = "disconnect" // nothing drops it: who wants to go goes
)

// InboundRule bounds what clients may send.
type InboundRule struct {
	Quota
	Events string // a name, or a prefix that ends in "*"; one of a letter or more means no packets
	Topics string // of delivery events: as Events; "": any, and events that have none
	Action InboundAction
	Per    InboundScope
	DryRun bool // counts, and lets everything pass
	Says   string
}

// Load is something that a client has sent.
type Load struct {
	Name  string // of the event
	Alias string // its other name, of a delivery event: with "weir:", or without; "": none
	Topic []byte // of a delivery event, as far as Inbound.Topics asks for it; not kept
	Bytes int

	Packet bool // it is no event: its name is ConnectPacket or DisconnectPacket
}

// Sender is who has sent a Load.
type Sender struct {
	Meters    []Meter // as many as Inbound.Meters says, of its socket
	Principal string
	Addr      netip.Addr
}

// Ruling is what becomes of a Load.
type Ruling struct {
	Action InboundAction
	Rule   *InboundRule // the one beyond which it is; of a Throttle the one that has it wait longest
	At     int64        // Throttle: when its turn is, in nanoseconds of the caller's clock
	Dry    *InboundRule // beyond this one it would have been, were that in force; nil: none
}

// Inbound is the rules of one server. Any goroutine may use it, with Meters of its own.
type Inbound struct {
	rules  []inboundRule // the worst action first
	meters int
	topics bool
	beyond [2][InboundActions]atomic.Uint64 // what was beyond a rule, and what beyond one that is tried only
}

// inboundRule is a rule with where it counts.
type inboundRule struct {
	InboundRule
	meter  int     // of the Sender's
	shared *shared // nil: in its Meters
}

// NewInbound returns the rules of a server; nil if there are none. hold is told of the memory that it takes for senders, as
// they come and go, in bytes; any goroutine calls it.
func NewInbound(rules []InboundRule, hold Hold) *Inbound {
	if len(rules) == 0 {
		return nil
	}
	in := &Inbound{}
	for _, r := range rules {
		c := inboundRule{InboundRule: r}
		if c.Says == "" {
			c.Says = r.says()
		}
		if r.Per == PerSocket {
			c.meter = in.meters
			in.meters++
		} else {
			c.shared = newShared(hold)
		}
		in.topics = in.topics || r.Topics != ""
		in.rules = append(in.rules, c)
	}
	slices.SortStableFunc(in.rules, func(a, b inboundRule) int { return int(b.Action) - int(a.Action) })
	return in
}

// says is how a client and the log are told of a rule.
func (r *InboundRule) says() string {
	var most []string
	if r.Messages > 0 {
		most = append(most, fmt.Sprintf("%d events", r.Messages))
	}
	if r.Bytes > 0 {
		most = append(most, fmt.Sprintf("%d bytes", r.Bytes))
	}
	what := ""
	if r.Events != "*" {
		what = " of " + r.Events
	}
	if r.Topics != "" {
		what += " to " + r.Topics
	}
	return fmt.Sprintf("more than %s%s in %v for one %s", strings.Join(most, " or "), what, r.Window, [...]string{"socket", "principal", "address"}[r.Per])
}

// Meters is how many Meters a socket needs.
func (in *Inbound) Meters() int { return in.meters }

// Topics reports whether a rule asks for the topic of a Load.
func (in *Inbound) Topics() bool { return in.topics }

// Judge counts what has come at now, in nanoseconds, and says what becomes of it. What a rule stops is not counted by it,
// nor by milder ones: so who is throttled or dropped at one rate can be disconnected at a higher one.
func (in *Inbound) Judge(s *Sender, l *Load, now int64) (v Ruling) {
	for i := range in.rules {
		r := &in.rules[i]
		if !r.means(l) {
			continue
		}
		if r.DryRun || r.Action != Throttle {
			if r.take(s, l, now) {
				continue
			}
			in.beyond[index(r.DryRun)][r.Action].Add(1)
			if r.DryRun {
				v.Dry = &r.InboundRule
				continue
			}
			v.Action, v.Rule = r.Action, &r.InboundRule
			return v
		}
		if at := r.reserve(s, l, now); at > max(now, v.At) {
			v.Action, v.Rule, v.At = Throttle, &r.InboundRule, at
		}
	}
	if v.Action == Throttle {
		in.beyond[index(false)][Throttle].Add(1)
	}
	return v
}

func index(dry bool) int {
	if dry {
		return 1
	}
	return 0
}

// means reports whether the rule is about a Load.
func (r *inboundRule) means(l *Load) bool {
	if l.Packet {
		stops := r.Action != Drop || l.Name != DisconnectPacket
		return stops && r.Topics == "" && (r.Events == "*" || r.Events == l.Name)
	}
	if r.Topics != "" && (len(l.Topic) == 0 || !matches(r.Topics, l.Topic)) {
		return false
	}
	return matches(r.Events, l.Name) || l.Alias != "" && matches(r.Events, l.Alias)
}

// matches reports whether a name is what a pattern means.
func matches[T string | []byte](pattern string, name T) bool {
	if prefix, open := strings.CutSuffix(pattern, "*"); open {
		return len(name) >= len(prefix) && string(name[:len(prefix)]) == prefix
	}
	return string(name) == pattern
}

// take counts a Load if there is room for it.
func (r *inboundRule) take(s *Sender, l *Load, now int64) (taken bool) {
	taken = true
	r.metered(s, now, func(m *Meter) { taken = m.Take(&r.Quota, now, r.weight(l)) })
	return taken
}

// reserve counts a Load and says when its turn is.
func (r *inboundRule) reserve(s *Sender, l *Load, now int64) (at int64) {
	at = now
	r.metered(s, now, func(m *Meter) { at = m.Reserve(&r.Quota, now, r.weight(l)) })
	return at
}

// weight is the bytes that a Load counts: of a packet no more than the quota's, or a token that is longer would keep its client
// out for ever.
func (r *inboundRule) weight(l *Load) int {
	if l.Packet && r.Bytes > 0 {
		return min(l.Bytes, r.Bytes)
	}
	return l.Bytes
}

// metered calls f with the Meter of a sender, unless it is not counted. f is not kept, so that it costs no allocation.
func (r *inboundRule) metered(s *Sender, now int64, f func(*Meter)) {
	if r.shared == nil {
		f(&s.Meters[r.meter])
		return
	}
	k, counts := s.key(r.Per)
	if !counts {
		return
	}
	r.shared.mu.Lock()
	defer r.shared.mu.Unlock()
	f(r.shared.ofLocked(k, &r.Quota, now))
}

// Idle reports whether a socket's Meters may be forgotten at now.
func (in *Inbound) Idle(meters []Meter, now int64) bool {
	for i := range in.rules {
		if r := &in.rules[i]; r.shared == nil && !meters[r.meter].Idle(&r.Quota, now) {
			return false
		}
	}
	return true
}

// Sweep forgets senders of whom nothing matters any more at now. Without it that happens as others come.
func (in *Inbound) Sweep(now int64) {
	if in == nil {
		return
	}
	for i := range in.rules {
		if r := &in.rules[i]; r.shared != nil {
			r.shared.sweep(&r.Quota, now)
		}
	}
}

// Senders is how many principals and addresses are remembered, of all rules together.
func (in *Inbound) Senders() (n int) {
	if in == nil {
		return 0
	}
	for i := range in.rules {
		if r := &in.rules[i]; r.shared != nil {
			n += r.shared.len()
		}
	}
	return n
}

// Beyond is how many Loads were beyond a rule of that action, or with dry would have been.
func (in *Inbound) Beyond(a InboundAction, dry bool) uint64 {
	if in == nil {
		return 0
	}
	return in.beyond[index(dry)][a].Load()
}
