package weir

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/internal/certs"
	"github.com/streamweir/weir/internal/metrics"
	"github.com/streamweir/weir/internal/transport"
	"github.com/streamweir/weir/internal/watch"
)

// TLSOptions have a port speak TLS, and only TLS. They name a certificate in files, or are an application's own Config. A
// mounted server needs none: the application's HTTP server speaks TLS for it.
type TLSOptions struct {
	// CertFile is the certificate and those that lead to its root, KeyFile its private key, both PEM. They are read again
	// when they have changed, and by Server.Reload; connections go on. A pair that cannot be used is logged and counted,
	// and the one before stays in force.
	CertFile, KeyFile string
	// KeyPassword decrypts a key in encrypted PKCS #8 (PBES2 with PBKDF2 and AES-CBC); "": it is not encrypted.
	KeyPassword string
	// ClientCAFile, PEM, makes clients prove who they are: with a certificate that one of those in the file has signed. It
	// is read again as the others are. "": clients need no certificate.
	ClientCAFile string
	// MinVersion is the oldest version spoken: tls.VersionTLS12 or, the default, tls.VersionTLS13.
	MinVersion uint16
	// MaxHandshakes is how many clients may be at their TLS handshake at the same time. Beyond it connections wait, until
	// one has done it, or gives way because it has said nothing for a second. Default 1024; 100,000 at most. A handshake
	// has ServerLimits.HeaderTimeout to be done (management: 5 s), and takes about 20 KB meanwhile.
	MaxHandshakes int
	// Config is in the place of files and MinVersion. It is cloned when the server is made; HTTP/2 is not spoken.
	Config *tls.Config
}

// The defaults of TLS.
const (
	defaultHandshakes = 1024
	maxHandshakes     = 100_000
	renewBefore       = 14 * 24 * time.Hour // a certificate that ends within it is spoken of once a day
	remindEvery       = 24 * time.Hour
	filesEvery        = time.Minute            // files are looked at, whatever the system tells of them
	filesSettle       = 250 * time.Millisecond // until what is written together has been written
)

func (t *TLSOptions) files() certs.Files {
	return certs.Files{Chain: t.CertFile, Key: t.KeyFile, Password: t.KeyPassword, ClientCAs: t.ClientCAFile}
}

func (t *TLSOptions) validate(p *problems, at string) {
	if t == nil {
		return
	}
	if t.MaxHandshakes < 0 || t.MaxHandshakes > maxHandshakes {
		p.add("%s.MaxHandshakes %d: want 1 to %d", at, t.MaxHandshakes, maxHandshakes)
	}
	switch t.MinVersion {
	case 0, tls.VersionTLS12, tls.VersionTLS13:
	default:
		p.add("%s.MinVersion %#x: want tls.VersionTLS12 or tls.VersionTLS13", at, t.MinVersion)
	}
	if t.Config != nil {
		t.validateConfig(p, at)
		return
	}
	for _, f := range []struct{ name, path string }{{"CertFile", t.CertFile}, {"KeyFile", t.KeyFile}} {
		if f.path == "" {
			p.add("%s.%s: empty, want a PEM file", at, f.name)
		}
	}
	if t.CertFile == "" || t.KeyFile == "" {
		return
	}
	if _, err := t.files().Load(); err != nil {
		p.add("%s.%s: %w", at, t.culprit(err), err)
	}
}

// culprit is the option that a mistake belongs to.
func (t *TLSOptions) culprit(err error) string {
	switch text := err.Error(); {
	case strings.HasPrefix(text, "client CAs"), t.ClientCAFile != "" && strings.Contains(text, t.ClientCAFile):
		return "ClientCAFile"
	case !strings.Contains(text, t.CertFile):
		return "KeyFile"
	}
	return "CertFile"
}

func (t *TLSOptions) validateConfig(p *problems, at string) {
	if t.files() != (certs.Files{}) || t.MinVersion != 0 {
		p.add("%s.Config: what it has is its own: leave CertFile, KeyFile, KeyPassword, ClientCAFile and MinVersion empty", at)
	}
	if c := t.Config; len(c.Certificates) == 0 && c.GetCertificate == nil && c.GetConfigForClient == nil {
		p.add("%s.Config: has no certificate", at)
	}
}

// secured is the TLS of one port.
type secured struct {
	name     string // of the port
	options  TLSOptions
	keeper   *certs.Keeper // nil: an application's own Config
	config   *tls.Config
	log      *slog.Logger
	listener atomic.Pointer[transport.Secure]
	reminded time.Time // when its end was last spoken of; housekeep's
}

// newSecured returns nil for a port without TLS.
func (s *Server) newSecured(name string, o *TLSOptions) (*secured, error) {
	if o == nil {
		return nil, nil
	}
	t := &secured{name: name, options: *o, log: s.log.With("server", name)}
	if o.Config != nil {
		t.config = o.Config.Clone()
		t.config.NextProtos = []string{"http/1.1"}
	} else {
		var err error
		if t.keeper, err = certs.NewKeeper(o.files()); err != nil {
			return nil, fmt.Errorf("TLS of server %q: %w", name, err)
		}
		t.config = t.keeper.Config(orDefault(o.MinVersion, tls.VersionTLS13))
	}
	s.tls = append(s.tls, t)
	return t, nil
}

// listen speaks TLS on a listener.
func (t *secured) listen(s *Server, ln net.Listener, timeout time.Duration) net.Listener {
	l := transport.NewSecure(ln, transport.SecureOptions{
		Config: t.config, Timeout: timeout, Max: orDefault(t.options.MaxHandshakes, defaultHandshakes),
		Compute: len(s.hub.Shards()), Failed: func(from net.Addr, err error) {
			t.log.Debug("TLS handshake failed", "address", from, "error", err)
		},
	})
	t.listener.Store(l)
	return l
}

// expires is when the certificate does; false where that is not known.
func (t *secured) expires() (at time.Time, names []string, ok bool) {
	if t.keeper != nil {
		p := t.keeper.Current()
		return p.NotAfter, p.Names, true
	}
	if len(t.config.Certificates) == 0 || len(t.config.Certificates[0].Certificate) == 0 {
		return time.Time{}, nil, false
	}
	c, err := x509.ParseCertificate(t.config.Certificates[0].Certificate[0])
	if err != nil {
		return time.Time{}, nil, false
	}
	return c.NotAfter, c.DNSNames, true
}

// look reads the files again; its error says what cannot be used, once.
func (t *secured) look(now time.Time) error {
	if t.keeper == nil {
		return nil
	}
	renewed, err := t.keeper.Look(now)
	if err != nil {
		t.log.Error("certificate refused: the one before stays in force", "error", err,
			"expires", t.keeper.Current().NotAfter.UTC().Format(time.RFC3339))
		return fmt.Errorf("TLS of server %q: %w", t.name, err)
	}
	if renewed {
		p := t.keeper.Current()
		t.reminded = time.Time{}
		t.log.Info("certificate renewed", "names", p.Names, "expires", p.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

// remind speaks of a certificate that ends soon, once a day.
func (t *secured) remind(now time.Time) {
	at, names, ok := t.expires()
	if !ok || at.Sub(now) > renewBefore || now.Sub(t.reminded) < remindEvery {
		return
	}
	t.reminded = now
	log := t.log.With("names", names, "expires", at.UTC().Format(time.RFC3339))
	if !at.After(now) {
		log.Error("the certificate has expired: clients refuse it")
		return
	}
	log.Warn("the certificate expires soon", "days", int(at.Sub(now).Hours()/24))
}

// figures are those of a scrape.
func (t *secured) figures() metrics.TLS {
	f := metrics.TLS{Server: t.name, Handshakes: map[string]uint64{}}
	f.Expires, _, _ = t.expires()
	if t.keeper != nil {
		f.Renewed, f.Refused = t.keeper.Renewed(), t.keeper.Refused()
	}
	if l := t.listener.Load(); l != nil {
		for h := range transport.TLSEnds() {
			f.Handshakes[h.String()] = l.Ends(h)
		}
	}
	return f
}

// Reload reads files again that options name: certificates and their keys. What is new and can be used is in force when
// it returns, without an effect on connections that are open; its error names everything that cannot be, of which what
// was before stays in force. Files that have changed are noticed without it, as a rule within a second.
func (s *Server) Reload() error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	now := time.Now()
	var errs []error
	for _, t := range s.tls {
		errs = append(errs, t.look(now))
	}
	return errors.Join(errs...)
}

// watchFiles has files read again that change; it ends with done.
func (s *Server) watchFiles(done <-chan struct{}) {
	defer s.wg.Done()
	var paths []string
	for _, t := range s.tls {
		if t.keeper != nil {
			paths = append(paths, t.keeper.Files().Paths()...)
		}
	}
	if len(paths) == 0 {
		return
	}
	watch.New(watch.Options{
		Paths: paths, Every: filesEvery, Settle: filesSettle,
		Look: func() { _ = s.Reload() }, // it has logged what is wrong
		Blind: func(err error) {
			s.log.Warn("changes of files are noticed with a delay of a minute: the system does not tell of them", "error", err)
		},
	}).Run(done)
}

func (s *Server) remind(now time.Time) {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	for _, t := range s.tls {
		t.remind(now)
	}
}
