package loadtest

import (
	"slices"

	"github.com/streamweir/weir/internal/loadtest/report"
)

// Setting is one value of Options under the name that flags and scenario files share.
type Setting struct {
	Name  string
	Usage string // the name of the value is in backquotes
	Value Value
	Scope Scope

	only []string // scenarios; nil: all
}

// Scope is what a setting is about, for the manual and for the result.
type Scope int

// ScopeRun says what is done and is printed with the result; ScopeAccess says with which rights, and its values are
// never printed.
const (
	ScopeRun Scope = iota
	ScopeAccess
)

// Settings are those of o's scenario, in the order of the manual; they change o.
func (o *Options) Settings() []Setting {
	return slices.DeleteFunc(o.all(), func(s Setting) bool { return s.only != nil && !slices.Contains(s.only, o.Scenario) })
}

const (
	mostClients = 5_000_000 // source addresses of loopback, times ports
	mostRunning = 1 << 20
)

func (o *Options) all() []Setting {
	return slices.Concat(o.Target.settings(), o.clientSettings(), o.feedSettings(), o.scenarioSettings(), o.serverSettings())
}

func (t *Target) settings() []Setting {
	return []Setting{
		{Name: "namespace", Usage: "`NAME` the clients join", Value: textValue(&t.Namespace)},
		{Name: "auth", Usage: "`JSON` object sent with the connect", Value: jsonValue(&t.Auth), Scope: ScopeAccess},
		{Name: "header", Usage: "`NAME: VALUE` of the handshake; may be given again", Value: headerValue(&t.Header), Scope: ScopeAccess},
		{Name: "timeout", Usage: "longest `TIME` for one client to get in", Value: durationValue(&t.Timeout)},
		{Name: "i-own-this-target", Usage: "the target is yours though it is not on this machine", Value: boolValue(&t.Owned), Scope: ScopeAccess},
	}
}

func (o *Options) clientSettings() []Setting {
	reading := []string{Fanout, Slow, CatchUp, Storm, Leak}
	others := []string{Fanout, Slow, CatchUp, Storm, Events, Leak}
	return []Setting{
		{Name: "clients", Usage: "`N` clients", Value: countValue(&o.Clients, 1, mostClients)},
		{Name: "rate", Usage: "new connections a second (`N`); 0: as fast as they are admitted", Value: rateValue(&o.Arrival), only: []string{Connect}},
		{Name: "connect-rate", Usage: "new connections a second (`N`); 0: as fast as they are admitted", Value: rateValue(&o.Arrival), only: others},
		{Name: "agents", Usage: "spread the clients over `N` processes; 0: as many as descriptors demand", Value: countValue(&o.Agents, 0, 1000)},
		{Name: "warmup", Usage: "`TIME` before measuring", Value: durationValue(&o.Phases.Warmup), only: []string{Fanout, Slow, Storm, Events}},
		{Name: "duration", Usage: "`TIME` of measuring; for each wave of leak, for storm and catchup the longest wait until all are back or have everything", Value: durationValue(&o.Phases.Duration), only: append(reading, Events)},
		{Name: "hold", Usage: "`TIME` the connections are held, idle; slow, catchup: before the first message", Value: durationValue(&o.Phases.Hold), only: []string{Connect, Slow, CatchUp}},
	}
}

func (o *Options) feedSettings() []Setting {
	f := &o.Feed
	reading := []string{Fanout, Slow, CatchUp, Storm, Leak}
	return []Setting{
		{Name: "topic", Usage: "`NAME` each client subscribes to, and of the event it receives", Value: textValue(&f.Topic), only: append([]string{Connect}, reading...)},
		{Name: "no-subscribe", Usage: "the event comes without a subscribe", Value: boolValue(&f.NoSubscribe), only: reading},
		{Name: "publish", Usage: "`HOW` messages get in: emit (a client emits publish {topic, payload}), api (POST /api/publish), batch (lines of one POST /api/publish/batch), none (somebody else publishes)", Value: wordValue(&f.Publish, PublishEmit, PublishAPI, PublishBatch, PublishNone), only: reading},
		{Name: "rate", Usage: "open loop: `N` messages a second, each due at its time", Value: rateValue(&f.Rate), only: reading},
		{Name: "messages", Usage: "`N` messages published while the clients stall", Value: countValue(&f.Messages, 1, mostRunning), only: []string{CatchUp}},
		{Name: "window", Usage: "closed loop: message n goes when all have n-`N` (default 16 without --rate)", Value: countValue(&f.Window, 0, mostRunning), only: []string{Fanout}},
		{Name: "size", Usage: "`BYTES` of a payload, such as 128B or 4KiB", Value: sizeValue(&f.Size), only: reading},
		{Name: "ack", Usage: "acknowledge deliveries that ask for it", Value: boolValue(&f.Ack), only: reading},
		{Name: "expect-drops", Usage: "gaps are counted but are no failure", Value: boolValue(&f.DropsExpected), only: reading},
	}
}

func (o *Options) scenarioSettings() []Setting {
	return []Setting{
		{Name: "slow", Usage: "`N` of the clients are slow, or a share such as 10%", Value: shareValue(&o.Slow.Share), only: []string{Slow}},
		{Name: "read", Usage: "`BYTES` a second each of them reads, such as 2KB/s; without it they stall", Value: byteRateValue(&o.Slow.Read), only: []string{Slow}},
		{Name: "receive-buffer", Usage: "`BYTES` their kernel may hold: small, as on a slow link", Value: sizeValue(&o.Slow.ReceiveBuffer), only: []string{Slow}},

		{Name: "cut", Usage: "`SHARE` of the clients cut at once, from 0 to 1", Value: fractionValue(&o.Storm.Share), only: []string{Storm}},
		{Name: "stay", Usage: "`N` clients besides, which are never cut", Value: countValue(&o.Storm.Stay, 0, mostClients), only: []string{Storm}},
		{Name: "reconnect-delay", Usage: "first `TIME` before a reconnect; doubling", Value: durationValue(&o.Storm.Delay), only: []string{Storm}},
		{Name: "reconnect-delay-max", Usage: "longest `TIME` before a reconnect", Value: durationValue(&o.Storm.DelayMost), only: []string{Storm}},
		{Name: "reconnect-jitter", Usage: "`FRACTION` by which each of them differs, from 0 to 1", Value: fractionValue(&o.Storm.Jitter), only: []string{Storm}},

		{Name: "event", Usage: "`NAME` of the event they send", Value: textValue(&o.Events.Event), only: []string{Events}},
		{Name: "window", Usage: "`N` events a client may have unanswered", Value: countValue(&o.Events.Window, 1, mostRunning), only: []string{Events}},
		{Name: "rate", Usage: "`N` events a second of each client; 0: as soon as its window has room", Value: rateValue(&o.Events.Rate), only: []string{Events}},
		{Name: "size", Usage: "`BYTES` of a payload, such as 128B or 4KiB", Value: sizeValue(&o.Events.Size), only: []string{Events}},

		{Name: "waves", Usage: "`N` times the clients come and go", Value: countValue(&o.Waves, 2, 1000), only: []string{Leak}},
		{Name: "settle", Usage: "`TIME` after a wave, or after the last message, before the server is looked at", Value: durationValue(&o.Phases.Settle), only: []string{CatchUp, Leak}},
	}
}

func (o *Options) serverSettings() []Setting {
	s := &o.Server
	return []Setting{
		{Name: "pid", Usage: "`PID` of the server, on this machine: its memory, CPU time, threads, descriptors", Value: countValue(&s.PID, 0, 1<<30)},
		{Name: "metrics", Usage: "`URL` of its Prometheus metrics (default: the management API's)", Value: textValue(&s.Metrics)},
		{Name: "management", Usage: "`URL` of Weir's management API", Value: textValue(&s.Management)},
		{Name: "key", Usage: "`KEY` of the management API", Value: textValue(&s.Key), Scope: ScopeAccess},
	}
}

// told are the settings as the result shows them.
func (o *Options) told() (told []report.Setting) {
	for _, s := range o.Settings() {
		text := s.Value.String()
		switch {
		case text == "" || text == "false" || text == "0" || (s.Scope == ScopeAccess && s.Value.Type() == isBool):
			continue
		case s.Scope == ScopeAccess:
			text = "(given)"
		}
		told = append(told, report.Setting{Name: s.Name, Value: text})
	}
	return told
}
