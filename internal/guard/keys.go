package guard

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Allow is a set of rights on the management API (operating.md). Rights do not imply each other.
type Allow uint8

// The rights.
const (
	AllowPublish Allow = 1 << iota // publish and emit
	AllowRead                      // figures, clients, topics, tail, history
	AllowAdmin                     // rooms, disconnect, drain, pprof, dead letters
)

var allowNames = [...]string{"publish", "read", "admin"}

// ParseAllow reads the names of rights as the configuration writes them.
func ParseAllow(names []string) (Allow, error) {
	var a Allow
	for i, name := range names {
		bit := Allow(0)
		for b, known := range allowNames {
			if name == known {
				bit = 1 << b
			}
		}
		if bit == 0 {
			return 0, fmt.Errorf("allow[%d] %q: want one of %s", i, name, strings.Join(allowNames[:], ", "))
		}
		a |= bit
	}
	return a, nil
}

// Has says whether all of need is allowed.
func (a Allow) Has(need Allow) bool { return a&need == need }

// String lists the rights, separated by commas.
func (a Allow) String() string {
	var names []string
	for b, name := range allowNames {
		if a.Has(1 << b) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// Key is a credential of the management API. Its name is what the log says of a write.
type Key struct {
	Name  string
	Key   string
	Allow Allow
	// Namespaces are those it is for; nil: all, and what concerns the whole server.
	Namespaces []string
}

// Keys are the management keys that are valid, several at once so that they can be replaced without a gap. It is
// immutable; the zero value authorizes nobody.
type Keys struct {
	secrets secrets
	keys    []Key // without the secret
}

// NewKeys refuses a key without a name, secret or right, and names or secrets used twice; no error text holds a
// secret.
func NewKeys(list []Key) (Keys, error) {
	var k Keys
	var errs []error
	names := make(map[string]bool, len(list))
	for i, key := range list {
		secret := strings.TrimSpace(key.Key)
		var problem string
		switch {
		case key.Name == "":
			problem = "has no name"
		case names[key.Name]:
			problem = "its name is used twice"
		case secret == "":
			problem = "has no key"
		case k.secrets.find(secret) >= 0:
			problem = "its key is used twice"
		case key.Allow == 0:
			problem = "allows nothing"
		case key.Namespaces != nil && len(key.Namespaces) == 0:
			problem = "is for no namespace"
		}
		if problem != "" {
			errs = append(errs, fmt.Errorf("keys[%d] %q: %s", i, key.Name, problem))
			continue
		}
		names[key.Name] = true
		k.secrets.add(secret)
		k.keys = append(k.keys, Key{Name: key.Name, Allow: key.Allow, Namespaces: slices.Clone(key.Namespaces)})
	}
	if len(errs) > 0 {
		return Keys{}, errors.Join(errs...)
	}
	return k, nil
}

// Len is the number of keys; without any the API is open to this machine alone, guarded by CheckLocal.
func (k Keys) Len() int { return len(k.keys) }

// Authorize finds the key that token is, without its secret. The time it takes depends on the number of keys only.
func (k Keys) Authorize(token string) (key Key, ok bool) {
	i := k.secrets.find(strings.TrimSpace(token))
	if i < 0 {
		return Key{}, false
	}
	return k.keys[i], true
}
