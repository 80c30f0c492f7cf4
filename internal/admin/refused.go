package admin

import (
	"log/slog"
	"net/http"
	"net/netip"
	"time"
)

// Refused is who the server refuses. Methods may be called from any goroutine.
type Refused interface {
	// List returns who is refused now, and who was within the last hour.
	List() []RefusedView
	// Clear lets in again whom the kind and the address mean, "" and the zero Addr being
	// all, and returns how many entries of List that were.
	Clear(kind string, addr netip.Addr) int
	// Kinds are those that entries of List can have.
	Kinds() []string
}

// RefusedView is one entry of GET /api/refused.
type RefusedView struct {
	Kind    string    `json:"kind"`              // a reason of weir_handshakes_refused_total
	Address string    `json:"address,omitempty"` // of IPv6: the first of the /64; "": everybody
	Shown   string    `json:"shown,omitempty"`   // what was not accepted: an origin, a version, or which server's limit
	Count   uint64    `json:"count"`             // how often
	Since   time.Time `json:"since"`
	Last    time.Time `json:"last,omitzero"`  // where nothing is kept up until a time: the last refusal
	Until   time.Time `json:"until,omitzero"` // when the address is let in again by itself
}

// refused serves GET /api/refused.
func (a *api) refused(w http.ResponseWriter, r *http.Request) error {
	q := parseQuery(r.URL)
	kind, addr := q.choice("kind", a.refusedKinds()...), q.address("address")
	if err := q.end(); err != nil {
		return err
	}
	list := []RefusedView{}
	for _, v := range a.listRefused() {
		if (kind == "" || v.Kind == kind) && (!addr.IsValid() || sameCustomer(v.Address, addr)) {
			list = append(list, v)
		}
	}
	return writeJSON(w, http.StatusOK, struct {
		Refused []RefusedView `json:"refused"`
	}{list})
}

// forgive serves DELETE /api/refused.
func (a *api) forgive(w http.ResponseWriter, r *http.Request) error {
	q := parseQuery(r.URL)
	kind, addr := q.choice("kind", a.refusedKinds()...), q.address("address")
	if err := q.end(); err != nil {
		return err
	}
	n := 0
	if a.Refused != nil {
		n = a.Refused.Clear(kind, addr)
	}
	a.wrote(r, "refused/delete", slog.String("kind", kind), slog.Any("address", addr), slog.Int("cleared", n))
	return writeJSON(w, http.StatusOK, struct {
		Cleared int `json:"cleared"`
	}{n})
}

func (a *api) refusedKinds() []string {
	if a.Refused == nil {
		return nil
	}
	return a.Refused.Kinds()
}

func (a *api) listRefused() []RefusedView {
	if a.Refused == nil {
		return nil
	}
	return a.Refused.List()
}

// sameCustomer reports whether an entry's address is that address, or its /64.
func sameCustomer(entry string, addr netip.Addr) bool {
	e, err := netip.ParseAddr(entry)
	if err != nil {
		return false
	}
	if e == addr {
		return true
	}
	p, err := addr.Prefix(64)
	return err == nil && addr.Is6() && p.Addr() == e
}

// address takes an IP address; the zero Addr if it is left out.
func (q *query) address(name string) netip.Addr {
	v := q.text(name)
	if v == "" {
		return netip.Addr{}
	}
	addr, err := netip.ParseAddr(v)
	if err != nil {
		q.wrong(name, "want an IP address without a port, not %q", v)
	}
	return addr.Unmap()
}
