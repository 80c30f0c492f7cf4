package weir

import (
	"context"
	"errors"
	"time"

	"github.com/streamweir/weir/internal/attach"
	"github.com/streamweir/weir/internal/delivery"
)

// apply puts parts of options in force while the server runs. They are in order, so that nothing of it can fail; each is one
// pointer. Who is connected stays, but for those whose token or principal the options revoke and did not before.
func (s *Server) apply(o *Options, p attach.Parts) {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	if p.Schemas {
		for _, d := range o.servers() {
			for i := range d.Namespaces {
				if n := s.byPath.Find(d.Namespaces[i].Path); n != nil {
					n.setSchemas(d.Namespaces[i].Schemas)
				}
			}
		}
	}
	if p.Keys {
		keys := s.keys(o.Management.Keys)
		s.bearers.Store(&keys)
	}
	if p.Hooks {
		s.hook.SetSecrets(o.Hooks.Secrets)
	}
	if !p.Access {
		return
	}
	if *s.authenticate.Load() != nil && o.Authenticate != nil { // where a hook alone decides, it goes on alone
		s.authenticate.Store(&o.Authenticate)
	}
	ctx, cancel := bounded(context.Background())
	defer cancel()
	var all []*delivery.Doing
	var errs []error
	for _, what := range s.revoked.Fix(o.Revoked.Tokens, o.Revoked.Principals, time.Now()) {
		begun, err := s.beginEnding(ctx, what)
		all, errs = append(all, begun...), append(errs, err)
	}
	_, err := endingsOf(ctx, all)
	if err = errors.Join(append(errs, err)...); err != nil {
		s.log.Warn("revoked by the configuration: some sockets may still be connected", "error", err)
	}
}

// setSchemas has other schemas than those of the options; those of WithSchema stay.
func (n *Namespace) setSchemas(declared []SchemaOptions) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.declared = declared
	n.schemas.Store(newSchemaSet(n.schemasLocked(), n.schemas.Load()))
}
