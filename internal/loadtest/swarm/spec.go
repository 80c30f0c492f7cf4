package swarm

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/streamweir/weir/internal/peer"
)

// Stalled is the ReadRate of clients that never read again once they are ready.
const Stalled = peer.Stalled

const (
	defaultAbreast = 256
	defaultTimeout = 30 * time.Second
	maxWindow      = 1 << 16 // events outstanding per client
	maxEventSize   = 1 << 20 // bytes of an emitted payload
)

// Spec is what all clients of a swarm have in common. It is JSON because load agents get it through a pipe.
type Spec struct {
	URL         string            `json:"url"`                   // http://host:port[/path/]; ws:// means the same; TLS is refused
	Namespace   string            `json:"namespace"`             // "" is "/"
	Auth        json.RawMessage   `json:"auth,omitempty"`        // object of CONNECT; nil: none
	Header      map[string]string `json:"header,omitempty"`      // of the opening handshake
	Subscribe   []string          `json:"subscribe,omitempty"`   // topics; a client is ready when all are answered {"ok":true,…}
	Event       string            `json:"event,omitempty"`       // whose deliveries are counted and checked: first argument {"n":N,"t":US,…}; "": none
	Ack         bool              `json:"ack,omitempty"`         // deliveries that carry a messageId are answered with the ack event, those of one read in one write
	Sources     int               `json:"sources,omitempty"`     // loopback source addresses, 127.0.0.2 and on; 0: one per 2,000 clients
	FirstSource int               `json:"firstSource,omitempty"` // last byte of the first source address, 2 to 251; 0: by process id, so that agents differ
	Abreast     int               `json:"abreast,omitempty"`     // handshakes of a group under way at once when it has no Rate; 0: 256
	Timeout     time.Duration     `json:"timeout,omitempty"`     // of one client, from connect() until it is ready; 0: 30 s
}

// Group is clients that behave alike.
type Group struct {
	Name          string     `json:"name"` // unique in the swarm
	Clients       int        `json:"clients"`
	Rate          float64    `json:"rate,omitempty"`          // new connections a second; 0: as fast as they are admitted
	ReceiveBuffer int        `json:"receiveBuffer,omitempty"` // SO_RCVBUF in bytes before connect(); 0: the kernel's
	ReadRate      int        `json:"readRate,omitempty"`      // bytes a second once ready; 0: as they come; Stalled: never
	Reconnect     *Reconnect `json:"reconnect,omitempty"`     // nil: a lost client stays lost
	Emit          *Emit      `json:"emit,omitempty"`          // nil: it does not emit
}

// Reconnect is how a client comes back, after a loss as after a failed attempt: it waits Delay, doubled with each
// attempt that fails, spread by ±Jitter of itself, at most DelayMax. The official client's are 1 s, 5 s and 0.5. As it
// does, a client that was disconnected from the namespace, or not let in, does not come back, and a Retry-After is not
// heeded: browsers do not show it.
type Reconnect struct {
	Delay    time.Duration `json:"delay"`
	DelayMax time.Duration `json:"delayMax"`
	Jitter   float64       `json:"jitter"` // 0 to 1
}

// Emit is events a client sends with acks.
type Emit struct {
	Event  string  `json:"event"`
	Size   int     `json:"size"`           // bytes of the payload, at least what its numbers need
	Window int     `json:"window"`         // outstanding per client; 0: 1
	Rate   float64 `json:"rate,omitempty"` // per client a second: open loop, latency counts from the intended time; 0: closed loop
	Held   bool    `json:"held,omitempty"` // nothing is sent before Swarm.Begin
}

func (s Spec) target() (peer.Target, error) {
	t, err := peer.ParseTarget(s.URL, s.Namespace)
	if err != nil {
		return t, err
	}
	if t.Secure() {
		return t, fmt.Errorf("target %s: many clients over TLS would measure the load tool's own TLS: take http, or weir slow", s.URL)
	}
	t.Auth = s.Auth
	t.Header = http.Header{}
	for name, value := range s.Header {
		t.Header.Set(name, value)
	}
	return t, nil
}

// validate reports every problem of the spec at once.
func (s Spec) validate() error {
	var problems []error
	for _, topic := range s.Subscribe {
		if topic == "" {
			problems = append(problems, errors.New("subscribe: a topic without a name"))
		}
	}
	for name, n := range map[string]int64{"sources": int64(s.Sources), "abreast": int64(s.Abreast), "timeout": int64(s.Timeout)} {
		if n < 0 {
			problems = append(problems, fmt.Errorf("%s is %d: it must not be negative", name, n))
		}
	}
	if s.Sources > maxSources {
		problems = append(problems, fmt.Errorf("sources is %d: at most %d", s.Sources, maxSources))
	}
	if s.FirstSource != 0 && (s.FirstSource < firstSource || s.FirstSource >= firstSource+maxSources) {
		problems = append(problems, fmt.Errorf("firstSource is %d: want %d to %d", s.FirstSource, firstSource, firstSource+maxSources-1))
	}
	if strings.ContainsAny(s.Event, `"\`) {
		problems = append(problems, fmt.Errorf("event %q: names that need escapes in JSON are not counted", s.Event))
	}
	return errors.Join(problems...)
}

// validate reports every problem of the group at once.
func (g Group) validate() error {
	var problems []error
	wrong := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("group %q: "+format, append([]any{g.Name}, args...)...))
	}
	if g.Clients < 1 {
		wrong("%d clients: at least one", g.Clients)
	}
	if g.Rate < 0 || g.ReceiveBuffer < 0 {
		wrong("rate %v and receive buffer %d must not be negative", g.Rate, g.ReceiveBuffer)
	}
	if g.ReadRate < Stalled {
		wrong("read rate %d: bytes a second, 0 for as they come or %d for stalled", g.ReadRate, Stalled)
	}
	if r := g.Reconnect; r != nil && (r.Delay <= 0 || r.DelayMax < r.Delay || r.Jitter < 0 || r.Jitter > 1) {
		wrong("reconnect %+v: want 0 < delay <= delayMax and a jitter from 0 to 1", *r)
	}
	if e := g.Emit; e != nil {
		switch {
		case e.Event == "":
			wrong("emit: an event without a name")
		case e.Size < 0 || e.Size > maxEventSize || e.Window < 0 || e.Window > maxWindow || e.Rate < 0:
			wrong("emit %+v: want size up to %d, window up to %d, rate not negative", *e, maxEventSize, maxWindow)
		case g.ReadRate == Stalled:
			wrong("emit: a client that does not read sees no acks")
		}
	}
	return errors.Join(problems...)
}
