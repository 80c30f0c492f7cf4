package doctor

import (
	"context"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/cluster/nats"
	"github.com/streamweir/weir/cluster/nats/embedded"
	"github.com/streamweir/weir/internal/certs"
	"github.com/streamweir/weir/internal/config"
)

// Assumed is how many connections are reckoned with when nobody says how many there will be.
const Assumed = 10_000

// Needs are what a configuration asks of the machine. Sizes are bytes.
type Needs struct {
	Connections int  // of all servers at the same time
	Assumed     bool // Connections is [Assumed]: what fails by it only warns

	Ports        []int         // listened on
	NotSentLowat int           // the largest of all servers; 0: one of them leaves it to the kernel
	PingInterval time.Duration // the longest of all servers
	MaxMessage   int           // bytes of the largest message that clients may send
	Workers      int           // handlers at the same time, each on a thread
	BudgetBytes  int64         // as memory.budgetBytes: 0 is a quarter of the memory, -1 no bound

	Journal Journal
	Broker  Broker

	Certificates []Certificate // that servers present

	// Path and Namespace are where to try the proxy: of the first server, "/socket.io/" and "/" if there is none.
	Path, Namespace string
	Origins         bool // pages of other origins are listed
}

// Journal is where messages are kept on disk.
type Journal struct {
	Path     string // "" for none
	MaxBytes int64  // of all files
	Fsync    string // always, interval, never
}

// Certificate is one that a server presents.
type Certificate struct {
	Server string
	Files  certs.Files
}

// JournalBytes is journal.maxBytes where nobody says otherwise.
const JournalBytes = 10 << 30

// Broker joins the nodes.
type Broker struct {
	Name string   // "memory" is none
	URLs []string // where it is reached
	NATS NATS     // nil: it is another, or in the process

	Embedded bool // URLs are those of the servers in all nodes' processes
}

// NATS is a broker that can be asked whether nodes could join it.
type NATS interface {
	Look(ctx context.Context) (nats.Found, error)
}

// NeedsOf reads a configuration. Connections come from servers.*.limits.maxConnections; without any they are assumed.
func NeedsOf(c *config.Config) Needs { return needsOf(c.Options, c.Effective()) }

// needsOf takes what weir.Options do not carry from the settings in force. Those of features that a version does not
// have are not among them.
func needsOf(o weir.Options, settings []config.Setting) Needs {
	n := Needs{
		NotSentLowat: lowat(o.Servers), Workers: o.Workers.Max, BudgetBytes: o.Memory.BudgetBytes,
		Broker: Broker{Name: "memory"}, Path: "/socket.io/", Namespace: "/",
	}
	for i, s := range o.Servers {
		n.addServer(s)
		if i == 0 {
			n.Path, n.Origins = s.SocketIO.Path, len(s.Origins) > 0
		}
		if i == 0 && len(s.Namespaces) > 0 {
			n.Namespace = s.Namespaces[0].Path
		}
	}
	n.addCertificate("management", o.Management.TLS)
	n.addPort(o.Management.Addr)
	n.addPort(o.Management.Probes)
	for _, s := range settings {
		n.addSetting(s)
	}
	if b, ok := o.Cluster.Broker.(interface{ Addr() string }); ok { // the setting is masked: it may hold a password
		n.Broker.URLs = nil
		for _, at := range strings.Split(b.Addr(), ", ") {
			n.Broker.URLs = append(n.Broker.URLs, n.Broker.Name+"://"+at)
		}
	}
	if b, ok := o.Cluster.Broker.(*embedded.Broker); ok {
		n.Broker.Embedded, n.Broker.URLs = true, nil
		for _, at := range b.Peers() {
			n.Broker.URLs = append(n.Broker.URLs, "nats://"+at)
		}
	}
	n.Broker.NATS, _ = o.Cluster.Broker.(NATS)
	if n.Connections == 0 {
		n.Connections, n.Assumed = Assumed, true
	}
	return n
}

func (n *Needs) addServer(s weir.ServerOptions) {
	n.addPort(s.Addr)
	n.addCertificate(s.Name, s.TLS)
	n.PingInterval = max(n.PingInterval, s.SocketIO.PingInterval)
	n.MaxMessage = max(n.MaxMessage, s.SocketIO.MaxHTTPBufferSize)
}

func (n *Needs) addCertificate(server string, t *weir.TLSOptions) {
	if t != nil && t.Config == nil {
		n.Certificates = append(n.Certificates, Certificate{server, certs.Files{
			Chain: t.CertFile, Key: t.KeyFile, Password: t.KeyPassword, ClientCAs: t.ClientCAFile,
		}})
	}
}

// lowat is the largest TCP_NOTSENT_LOWAT of the servers, 0 if one of them leaves it to the kernel.
func lowat(servers []weir.ServerOptions) int {
	largest := 0
	for _, s := range servers {
		if s.NotSentLowat < 0 {
			return 0
		}
		largest = max(largest, s.NotSentLowat)
	}
	return largest
}

func (n *Needs) addPort(address string) {
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		return // none
	}
	if port, err := strconv.Atoi(text); err == nil && port > 0 {
		n.Ports = append(n.Ports, port)
	}
}

func (n *Needs) addSetting(s config.Setting) {
	number, _ := s.Value.(int64)
	text, _ := s.Value.(string)
	switch {
	case strings.HasPrefix(s.Path, "servers.") && strings.HasSuffix(s.Path, ".limits.maxConnections"):
		n.Connections += int(number)
	case s.Path == "journal.path":
		n.Journal.Path = text
	case s.Path == "journal.fsync":
		n.Journal.Fsync = text
	case s.Path == "journal.maxBytes":
		n.Journal.MaxBytes = number
	case s.Path == "cluster.broker":
		n.Broker.Name = text
	case strings.HasPrefix(s.Path, "cluster."):
		if u, err := url.Parse(text); err == nil && u.Host != "" {
			n.Broker.URLs = append(n.Broker.URLs, text)
		}
	}
}

// worst is the level of a finding that follows from the number of connections: a guess breaks nothing.
func (n Needs) worst() Level {
	if n.Assumed {
		return Warn
	}
	return Fail
}
