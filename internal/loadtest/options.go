package loadtest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The scenarios.
const (
	Connect = "connect" // how fast and how cheaply clients are admitted and held
	Fanout  = "fanout"  // one message to many
	Slow    = "slow"    // some clients stall or read slowly: what it costs the server and the others
	Storm   = "storm"   // many are cut at once and come back
	Events  = "events"  // clients send, with acks
	CatchUp = "catchup" // all stall while messages are published, then read them
	Leak    = "leak"    // waves of clients come and go
)

// Names are the scenarios in the order of the manual.
func Names() []string { return []string{Connect, Fanout, Slow, CatchUp, Storm, Events, Leak} }

// Options are one run. Begin with Defaults; a scenario ignores what is not among its Settings.
type Options struct {
	Scenario string
	Title    string // of the result; "" is made from the scenario
	Target   Target
	Clients  int
	Arrival  float64 // new connections a second; 0: as fast as they are admitted
	Agents   int     // processes the clients are spread over; 0: this one, or as many as its descriptors demand
	Phases   Phases
	Feed     Feed
	Server   Server
	Slow     SlowClients
	Storm    Cut
	Events   Emission
	Waves    int // of a leak run, at least 2
}

// Target is the server under test.
type Target struct {
	URL       string // http://HOST:PORT[/PATH/]; the path of Socket.IO is /socket.io/ by default
	Namespace string
	Auth      json.RawMessage // payload of CONNECT; nil: none
	Header    map[string]string
	Timeout   time.Duration // for one client from connect() until it is ready
	Owned     bool          // whoever runs this says the target is theirs: it may be off this machine
}

// Phases are how long the parts of a run take.
type Phases struct {
	Warmup   time.Duration // before measuring
	Duration time.Duration // of measuring; for a storm the longest wait until all are back, for a catchup until all have everything
	Hold     time.Duration // connections are held idle
	Settle   time.Duration // after a wave has left, or the last message of a catchup, before the server is asked what it holds
}

// Who publishes.
const (
	PublishEmit  = "emit"  // one more client emits publish {topic, payload}
	PublishAPI   = "api"   // POST /api/publish at Server.Management, one after the other
	PublishBatch = "batch" // a line each of one POST /api/publish/batch at Server.Management
	PublishNone  = "none"  // somebody else, payloads of our form
)

// Feed is what is published and how clients come to receive it.
type Feed struct {
	Topic         string  // subscribed by each client, and the event its messages come as; "" no feed
	NoSubscribe   bool    // the event comes without asking
	Publish       string  // PublishEmit, PublishAPI, PublishBatch, PublishNone
	Rate          float64 // open loop: messages a second, each due at its time whatever became of those before
	Window        int     // closed loop: message n is published when all clients have n-Window
	Messages      int     // of an open loop; 0: until the end of the run
	Size          int     // of a payload, in bytes
	Ack           bool    // clients acknowledge deliveries that carry metadata
	DropsExpected bool    // gaps are counted, and are no failure
}

// Server is where the other side's usage is read.
type Server struct {
	PID        int    // a process of this machine; 0: none
	Metrics    string // URL of /metrics; "": Management's, if there is one
	Management string // URL of Weir's management API
	Key        string // for both
}

// SlowClients are those of a slow run.
type SlowClients struct {
	Share         Share // of Clients
	Read          int   // bytes a second; 0: they stall
	ReceiveBuffer int   // bytes
}

// Cut is what a storm does, and how its clients come back.
type Cut struct {
	Share     float64 // of Clients
	Stay      int     // clients besides, which are never cut
	Delay     time.Duration
	DelayMost time.Duration
	Jitter    float64
}

// Emission is what clients of an events run send.
type Emission struct {
	Event  string
	Window int     // unanswered events a client may have
	Rate   float64 // events a second of each client; 0: as soon as the window has room
	Size   int     // bytes of a payload
}

// Defaults are the options of a scenario before anybody has asked for anything.
func Defaults(scenario string) Options {
	o := Options{
		Scenario: scenario,
		Target:   Target{Namespace: "/", Timeout: 30 * time.Second},
		Clients:  1000,
		Phases:   Phases{Warmup: 2 * time.Second, Duration: 10 * time.Second, Hold: 5 * time.Second, Settle: 5 * time.Second},
		Feed:     Feed{Publish: PublishEmit, Size: 128},
		Slow:     SlowClients{Share: Share{Fraction: 0.1}, ReceiveBuffer: 8 << 10},
		Storm:    Cut{Share: 1, Delay: time.Second, DelayMost: 5 * time.Second, Jitter: 0.5},
		Events:   Emission{Event: "event", Window: 4, Size: 128},
		Waves:    3,
	}
	if scenario != Connect && scenario != Events {
		o.Feed.Topic = "tick"
	}
	switch scenario {
	case Slow:
		o.Feed.Rate, o.Feed.Size, o.Phases.Duration, o.Phases.Hold = 100, 1<<10, 30*time.Second, 0
	case CatchUp:
		o.Feed.Rate, o.Feed.Size, o.Feed.Messages = 5000, 1<<10, 10_000
		o.Phases.Duration, o.Phases.Hold, o.Phases.Settle = 60*time.Second, time.Second, time.Second
	case Storm:
		o.Feed.Rate, o.Phases.Duration = 10, 60*time.Second
	case Leak:
		o.Feed.Rate, o.Phases.Warmup = 10, 0
	}
	return o
}

// Problem is one thing wrong with Options.
type Problem struct {
	Setting string // by its name; "" for the scenario as a whole
	Text    string
}

func (p Problem) Error() string {
	if p.Setting == "" || p.Setting == "url" { // the URL is an argument
		return p.Text
	}
	return "--" + p.Setting + ": " + p.Text
}

// Validate fills in what follows from the rest and returns every problem.
func (o *Options) Validate() []Problem {
	if !slices.Contains(Names(), o.Scenario) {
		return []Problem{{"scenario", fmt.Sprintf("%q is none of %s", o.Scenario, strings.Join(Names(), ", "))}}
	}
	if o.Scenario == Fanout && o.Feed.Rate == 0 && o.Feed.Window == 0 && o.Feed.Publish != PublishNone {
		o.Feed.Window = 16
	}
	problems := o.Target.problems()
	if o.Target.secured() {
		problems = append(problems, Problem{"url", fmt.Sprintf("%q: the load clients have no TLS: measure behind it, or use 'weir slow', which has", o.Target.URL)})
	}
	problems = append(problems, o.Server.problems()...)
	if o.Agents > o.Clients {
		problems = append(problems, Problem{"agents", fmt.Sprintf("%d processes for %d clients", o.Agents, o.Clients)})
	}
	if o.fed() {
		problems = append(problems, o.feedProblems()...)
	}
	return append(problems, o.scenarioProblems()...)
}

// fed reports whether messages are published while the scenario runs.
func (o *Options) fed() bool { return o.Scenario != Connect && o.Scenario != Events }

func (o *Options) feedProblems() (problems []Problem) {
	f := o.Feed
	if f.Topic == "" {
		problems = append(problems, Problem{"topic", "want the name of the topic that is published"})
	}
	if f.Rate > 0 && f.Window > 0 {
		problems = append(problems, Problem{"window", "--rate is an open loop, --window a closed one: want one of them"})
	}
	if f.Rate == 0 && f.Window == 0 && f.Publish != PublishNone {
		problems = append(problems, Problem{"rate", "want messages a second, more than 0"})
	}
	if (f.Publish == PublishAPI || f.Publish == PublishBatch) && o.Server.Management == "" {
		problems = append(problems, Problem{"publish", f.Publish + " needs --management URL"})
	}
	return problems
}

func (o *Options) scenarioProblems() (problems []Problem) {
	switch o.Scenario {
	case Slow:
		if n := o.Slow.Share.Of(o.Clients); n < 1 || n >= o.Clients {
			problems = append(problems, Problem{"slow", fmt.Sprintf("%d of %d clients: want at least one slow and one healthy", n, o.Clients)})
		}
	case CatchUp:
		if o.Feed.Publish == PublishNone {
			problems = append(problems, Problem{"publish", "it has to publish while the clients stall: want emit, api or batch"})
		}
	case Storm:
		if o.Storm.Share*float64(o.Clients) < 1 {
			problems = append(problems, Problem{"cut", "cuts nobody"})
		}
		if o.Storm.DelayMost < o.Storm.Delay {
			problems = append(problems, Problem{"reconnect-delay-max", "is less than --reconnect-delay"})
		}
	case Leak:
		if o.Server.PID == 0 && o.Server.metricsURL() == "" {
			problems = append(problems, Problem{"pid", "a leak is seen in the server: want --pid, --metrics or --management"})
		}
	}
	return problems
}
