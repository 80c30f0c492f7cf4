package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/streamweir/weir/internal/attach"
)

// leaf is one value, as it is compared: secrets and the contents of schemas too.
type leaf struct {
	Setting
	raw  string
	live bool // a server that runs can change it
}

// Running are the values in force in a server, which may have been reloaded since it began. It does not change.
type Running struct {
	leaves []leaf
	shape  string
	known  map[string]bool // parts of attach.Parts that are there at all
}

// Running are the values of a server that begins with the configuration.
func (c *Config) Running() *Running {
	r := &Running{shape: c.shape(), known: c.parts()}
	c.tree.each(func(s *shown) {
		r.leaves = append(r.leaves, leaf{Setting{Path: s.path, Value: s.plain(), Origin: s.origin}, s.raw, s.live})
	})
	return r
}

// Effective lists every value in force, in the order of the file, secrets masked.
func (r *Running) Effective() []Setting {
	list := make([]Setting, len(r.leaves))
	for i := range r.leaves {
		list[i] = r.leaves[i].Setting
	}
	return list
}

// Plan is what a newer configuration changes in a running server.
type Plan struct {
	Live    []string // values that are put in force, by path
	Restart []string // values that differ, and stay as they are until a restart
	Parts   attach.Parts
	Next    *Running // once that is done
}

// Plan compares. All of next is known to be usable.
func (r *Running) Plan(next *Config) Plan {
	n := next.Running()
	can := func(path string, live bool) bool {
		return live && r.known[part(path)] == n.known[part(path)] && n.known[part(path)] && (part(path) != "servers" || r.shape == n.shape)
	}
	p := Plan{Next: &Running{shape: r.shape, known: r.known}, Live: []string{}, Restart: []string{}}
	was := make(map[string]leaf, len(r.leaves))
	for _, l := range r.leaves {
		was[l.Path] = l
	}
	note := func(path string, live bool) {
		if !live {
			p.Restart = append(p.Restart, path)
			return
		}
		p.Live = append(p.Live, path)
		switch part(path) {
		case "management":
			p.Parts.Keys = true
		case "access", revokedPart:
			p.Parts.Access = true
		case "hooks":
			p.Parts.Hooks = true
		case "servers":
			p.Parts.Schemas = true
		}
	}
	for _, l := range n.leaves {
		old, had := was[l.Path]
		delete(was, l.Path)
		live := can(l.Path, l.live)
		if !had || old.raw != l.raw {
			note(l.Path, live)
		}
		switch {
		case live:
			p.Next.leaves = append(p.Next.leaves, l)
		case had:
			p.Next.leaves = append(p.Next.leaves, old)
		}
	}
	for _, l := range r.leaves {
		if _, gone := was[l.Path]; !gone {
			continue
		}
		live := can(l.Path, l.live)
		note(l.Path, live)
		if !live {
			p.Next.leaves = append(p.Next.leaves, l)
		}
	}
	slices.Sort(p.Live)
	slices.Sort(p.Restart)
	return p
}

// Same reports whether a configuration says nothing else than what is in force.
func (r *Running) Same(c *Config) bool {
	p := r.Plan(c)
	return len(p.Live)+len(p.Restart) == 0
}

// Files are the configuration and what it names that is read with it: a change of one of them may be one of the configuration.
func (c *Config) Files() []string { return c.files }

// revokedPart is what is revoked, which there is with a hook, too.
const revokedPart = "access.revoked"

// part is the section of the file that a path is in: what changes at once or not at all.
func part(path string) string {
	if strings.HasPrefix(path, revokedPart+".") {
		return revokedPart // also where a hook alone decides
	}
	before, _, _ := strings.Cut(path, ".")
	return before
}

// parts are the sections with live values that a server has: what it did not have when it began it cannot get while it runs.
func (c *Config) parts() map[string]bool {
	return map[string]bool{
		"log": true, "management": len(c.Options.Management.Keys) > 0, "servers": true,
		"access": c.Options.Authenticate != nil, "hooks": c.Options.Hooks.Connect != "", revokedPart: c.Options.Authenticate != nil || c.Options.Hooks.Connect != "",
	}
}

// shape are the servers and namespaces, which do not come or go while a server runs.
func (c *Config) shape() string {
	var b strings.Builder
	for i := range c.Options.Servers {
		s := &c.Options.Servers[i]
		fmt.Fprintf(&b, "%q:", s.Name)
		for j := range s.Namespaces {
			fmt.Fprintf(&b, "%q,", s.Namespaces[j].Path)
		}
	}
	return b.String()
}
