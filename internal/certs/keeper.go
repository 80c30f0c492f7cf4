package certs

import (
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Keeper has the newest pair of its files that can be used. Its methods may be called from any goroutine.
type Keeper struct {
	files   Files
	current atomic.Pointer[Pair]

	renewed, refused atomic.Uint64

	mu  sync.Mutex
	bad [sha256.Size]byte // the digest of the files last refused; zero: none, or they could not be read
	why string            // they could not be read, or what else was wrong; "": nothing
}

// NewKeeper reads the files; without a pair that can be used there is no keeper.
func NewKeeper(f Files) (*Keeper, error) {
	p, err := f.Load()
	if err != nil {
		return nil, err
	}
	k := &Keeper{files: f}
	k.current.Store(p)
	return k, nil
}

// Files are those it reads.
func (k *Keeper) Files() Files { return k.files }

// Current is the pair in force.
func (k *Keeper) Current() *Pair { return k.current.Load() }

// Renewed and Refused count what Look has found.
func (k *Keeper) Renewed() uint64 { return k.renewed.Load() }

// Refused counts pairs that could not be used.
func (k *Keeper) Refused() uint64 { return k.refused.Load() }

// Look reads the files again. It returns true if they hold a new pair that is now in force, and an error if they hold
// one that cannot be used: once for each, and the pair before stays in force.
func (k *Keeper) Look(now time.Time) (renewed bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	found, contents, err := k.files.read()
	if err != nil {
		return false, k.refuseLocked([sha256.Size]byte{}, err)
	}
	was := k.current.Load()
	if found.Same(was) {
		k.why = ""
		return false, nil
	}
	p, err := k.files.parse(found, contents)
	if err != nil {
		return false, k.refuseLocked(found.digest, err)
	}
	if !p.NotAfter.After(now) && was.NotAfter.After(now) {
		return false, k.refuseLocked(p.digest, fmt.Errorf("certificate %s has expired, on %s", k.files.Chain, p.NotAfter.UTC().Format(time.RFC3339)))
	}
	k.why = ""
	k.current.Store(p)
	k.renewed.Add(1)
	return true, nil
}

// refuseLocked counts and returns what is wrong, unless that was said before.
func (k *Keeper) refuseLocked(digest [sha256.Size]byte, err error) error {
	if k.why == err.Error() && k.bad == digest {
		return nil
	}
	k.bad, k.why = digest, err.Error()
	k.refused.Add(1)
	return err
}

// Config is that of a server which presents the pair in force; least is the oldest version it speaks.
func (k *Keeper) Config(least uint16) *tls.Config {
	c := &tls.Config{
		MinVersion: least,
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return k.current.Load().Certificate, nil
		},
		DynamicRecordSizingDisabled: true, // a batch is one write whatever its records are
	}
	if k.files.ClientCAs == "" {
		return c
	}
	c.SessionTicketsDisabled = true // a ticket would outlive the CA that vouched for its client
	c.ClientAuth = tls.RequireAndVerifyClientCert
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		own := c.Clone()
		own.GetConfigForClient = nil
		own.ClientCAs = k.current.Load().ClientCAs
		return own, nil
	}
	return c
}
