package admin

import (
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/streamweir/weir/internal/base"
)

// New returns the management API: every route of protocol.md 5. It keeps no
// goroutine between requests.
func New(o Options) http.Handler {
	a := newAPI(o)
	a.addPublish("/api/publish", a.publish)
	a.addPublish("/api/publish/batch", a.publishBatch)
	a.addPlain(rightPublish, http.MethodPost, "/api/emit", a.emit)
	a.addPlain(rightAdmin, http.MethodPost, "/api/sockets/join", a.join)
	a.addPlain(rightAdmin, http.MethodPost, "/api/sockets/leave", a.leave)
	a.addPlain(rightAdmin, http.MethodPost, "/api/sockets/disconnect", a.disconnect)
	a.addPlain(rightAdmin, http.MethodPost, "/api/drain", a.drain)
	a.addPlain(rightAdmin, http.MethodPost, "/api/reload", a.reload)
	a.addPlain(rightRead, http.MethodGet, "/api/drain", a.draining)
	a.add(rightRead, http.MethodGet, "/api/clients", a.clients)
	a.addPlain(rightRead, http.MethodGet, clientPath, a.client)
	a.add(rightRead, http.MethodGet, "/api/lag", a.lag)
	a.add(rightRead, http.MethodGet, "/api/handlers", a.handlers)
	a.add(rightRead, http.MethodGet, "/api/refused", a.refused)
	a.add(rightAdmin, http.MethodDelete, "/api/refused", a.forgive)
	a.addPlain(rightAdmin, http.MethodPost, "/api/revoke", a.revoke)
	a.add(rightRead, http.MethodGet, "/api/revoke", a.revoked)
	a.add(rightAdmin, http.MethodDelete, "/api/revoke", a.unrevoke)
	a.add(rightRead, http.MethodGet, "/api/topics", a.topics)
	a.addPlain(rightRead, http.MethodGet, "/api/stats", a.stats)
	a.addPlain(rightRead, http.MethodGet, "/api/config", a.config)
	a.add(rightRead, http.MethodGet, "/api/tail", a.tail)
	a.add(rightRead, http.MethodGet, "/api/history", a.history)
	a.concern("/api/publish", "/api/publish/batch", "/api/emit", "/api/sockets/join", "/api/sockets/leave", "/api/sockets/disconnect",
		"/api/clients", clientPath, "/api/topics", "/api/tail", "/api/history")
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		a.add(rightAdmin, method, "/api/deadletters", needsJournal)
	}
	a.add(rightPProf, http.MethodGet, profilePath, a.profile)
	a.addProbes(rightRead)
	a.beforeServing("/api/drain", "/api/config", profilePath)
	return a
}

// Probes returns a handler of /healthz, /readyz and /metrics for a listener of
// their own: no key is asked for.
func Probes(o Options) http.Handler {
	a := newAPI(o)
	a.open = true
	a.addProbes(rightNone)
	return a
}

// api routes requests and holds what outlives one.
type api struct {
	Options
	open   bool // nobody is asked for a key
	routes map[string][]route

	tails     chan struct{} // one token for each tail that runs
	histories chan struct{} // one token for each answer of /api/history that is made
	profiles  chan struct{} // the token of the one profile that runs
}

// maxTails is how many observers there may be at the same time: each costs every
// publisher a little.
const maxTails = 64

func newAPI(o Options) *api {
	return &api{
		Options: o.withDefaults(), routes: make(map[string][]route),
		tails: make(chan struct{}, maxTails), histories: make(chan struct{}, maxHistories), profiles: make(chan struct{}, 1),
	}
}

// route is one method of one path. A path that ends in "/" means all below it.
type route struct {
	method string
	right  right
	plain  bool // takes no parameters: one that nothing would obey is refused
	local  bool // concerns namespaces that it asks the caller for: a key for some of them may call it
	early  bool // is answered before the server serves
	serve  func(http.ResponseWriter, *http.Request, caller) error
}

func (a *api) add(need right, method, path string, serve func(http.ResponseWriter, *http.Request) error) {
	a.routes[path] = append(a.routes[path], route{method: method, right: need, serve: func(w http.ResponseWriter, r *http.Request, who caller) error {
		return serve(w, r.WithContext(withCaller(r.Context(), who)))
	}})
}

// addPlain adds a route that takes no parameters in its URL.
func (a *api) addPlain(need right, method, path string, serve func(http.ResponseWriter, *http.Request) error) {
	a.add(need, method, path, serve)
	list := a.routes[path]
	list[len(list)-1].plain = true
}

// concern says that paths concern single namespaces, and ask their callers whether they may: all others are refused to
// keys for some namespaces only, so that a path nobody has thought of is.
func (a *api) concern(paths ...string) {
	for _, path := range paths {
		for i := range a.routes[path] {
			a.routes[path][i].local = true
		}
	}
}

// beforeServing says that paths are answered before the server serves.
func (a *api) beforeServing(paths ...string) {
	for _, path := range paths {
		for i := range a.routes[path] {
			a.routes[path][i].early = true
		}
	}
}

// addPublish adds a path that is asked so often that a context of its own would be felt.
func (a *api) addPublish(path string, serve func(http.ResponseWriter, *http.Request, caller) error) {
	a.routes[path] = append(a.routes[path], route{method: http.MethodPost, right: rightPublish, plain: true, serve: serve})
}

func (a *api) addProbes(metrics right) {
	exposition := promhttp.HandlerFor(a.Gatherer, promhttp.HandlerOpts{ErrorLog: exporterLog{a.Logger}})
	a.add(rightNone, http.MethodGet, "/healthz", a.healthz)
	a.add(rightNone, http.MethodGet, "/readyz", a.readyz)
	a.add(metrics, http.MethodGet, "/metrics", func(w http.ResponseWriter, r *http.Request) error {
		exposition.ServeHTTP(w, r)
		return nil
	})
	a.beforeServing("/healthz", "/readyz", "/metrics")
}

// Values of headers that every answer has; nobody writes to them.
var (
	noStore = []string{"no-store"}
	noSniff = []string{"nosniff"}
)

// ServeHTTP implements http.Handler.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h["Cache-Control"], h["X-Content-Type-Options"] = noStore, noSniff
	if err := a.serve(w, r); err != nil {
		a.fail(w, r, err)
	}
}

func (a *api) serve(w http.ResponseWriter, r *http.Request) error {
	methods := a.find(r.URL.Path)
	who, err := a.identify(r)
	if err != nil && !(a.Authorize != nil && isHealth(methods)) { // the local rule covers health too
		return err
	}
	if methods == nil {
		return refuse(base.CodeUnknown, "no such path: %q", r.URL.Path)
	}
	i := slices.IndexFunc(methods, func(m route) bool { return m.method == readAs(r.Method) })
	if i < 0 {
		return methodRefused(w, r.Method, methods)
	}
	if err := a.permit(who, methods[i].right); err != nil {
		return err
	}
	if !methods[i].early {
		if err := a.State.Begun(); err != nil {
			return err
		}
	}
	if who.confined() && !methods[i].local && methods[i].right != rightNone {
		return refuse(base.CodeForbidden, "key %q is for some namespaces only; this concerns the whole server", who.name)
	}
	if methods[i].plain && r.URL.RawQuery != "" {
		if err := parseQuery(r.URL).end(); err != nil {
			return err
		}
	}
	return methods[i].serve(w, r, who)
}

// isHealth reports whether a path is one that needs no key.
func isHealth(methods []route) bool { return len(methods) > 0 && methods[0].right == rightNone }

// find returns the methods of a path, nil if there is no such path.
func (a *api) find(path string) []route {
	if methods := a.routes[path]; methods != nil {
		return methods
	}
	if below := strings.LastIndexByte(path, '/'); below >= 0 {
		return a.routes[path[:below+1]]
	}
	return nil
}

// readAs makes HEAD a GET: net/http leaves the body out.
func readAs(method string) string {
	if method == http.MethodHead {
		return http.MethodGet
	}
	return method
}
