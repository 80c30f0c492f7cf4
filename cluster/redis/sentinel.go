package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis/rueidis"
)

// Sentinel says how the server is found that is the master now.
type Sentinel struct {
	// Master is the name under which the sentinels watch it. "": there are no sentinels.
	Master string

	// Addresses are host:port of sentinels, at least one: the others are asked for by these. With a URL of rediss:// they are
	// asked over TLS too.
	Addresses []string

	// Username and Password log in at the sentinels; "": nobody asks.
	Username, Password string
}

// refreshEvery is how often sentinels are asked for the master, besides what they tell by themselves.
const refreshEvery = time.Second

// zero reports whether nothing is said of sentinels.
func (s *Sentinel) zero() bool {
	return s.Master == "" && len(s.Addresses) == 0 && s.Username == "" && s.Password == ""
}

// apply makes the options of a client those of one that asks sentinels.
func (s *Sentinel) apply(o *rueidis.ClientOption) error {
	switch {
	case s.Master == "":
		return errors.New("Sentinel.Master: is missing: want the name under which the sentinels know the master")
	case len(s.Addresses) == 0:
		return errors.New("Sentinel.Addresses: is missing: want host:port of at least one sentinel")
	}
	for _, a := range s.Addresses {
		if host, port, err := net.SplitHostPort(a); err != nil || host == "" || port == "" {
			return fmt.Errorf("Sentinel.Addresses: %q: want host:port", a)
		}
	}
	if s.Username != "" && s.Password == "" {
		return errors.New("Sentinel.Username: has no effect without a password")
	}
	o.InitAddress, o.ForceSingleClient = s.Addresses, false
	if o.TLSConfig != nil {
		o.TLSConfig.ServerName = "" // each is held to its own
	}
	o.Sentinel = rueidis.SentinelOption{
		MasterSet: s.Master, Username: s.Username, Password: s.Password, TLSConfig: o.TLSConfig, Dialer: o.Dialer, TopologyRefreshInterval: refreshEvery,
	}
	return nil
}

// errDemoted says that a server is not the master, or not any more: what is published there reaches nobody else.
var errDemoted = errors.New("the server is not the master any more")

// mastered looks at what a server has said of its role.
func mastered(r rueidis.RedisResult) error {
	answer, err := r.ToArray()
	if err != nil {
		return fmt.Errorf("ask for its role: %w", err)
	}
	if len(answer) == 0 {
		return errAnswer
	}
	if role, err := answer[0].ToString(); err != nil || role != "master" {
		return errDemoted
	}
	return nil
}

// rules fails unless both connections of a feed are to the master. Without sentinels nobody asks.
func (f *feed) rules(ctx context.Context) error {
	if f.of.opts.Sentinel.zero() {
		return nil
	}
	if err := mastered(f.client.Do(ctx, f.client.B().Role().Build())); err != nil {
		return err
	}
	return mastered(f.member.client.Do(ctx, f.member.client.B().Role().Build()))
}
