package weir

import (
	"context"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/pointer"
	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/workers"
)

// Lookup returns a namespace, nil if none of that path is declared.
func (s *Server) Lookup(path string) *Namespace { return s.byPath.Find(path) }

// Namespace declares a namespace on the first door if no option did, before Run, and returns it: a line of the log says so,
// as a path that is mistyped is declared too. Once the server runs it panics for one that is not declared, as clients could
// join it before its checks and handlers are there, and always for what is no path of a namespace. Declare makes one at any
// time, and Lookup only looks.
func (s *Server) Namespace(path string) *Namespace {
	if n := s.byPath.Find(path); n != nil {
		return n
	}
	if s.state.Load() != stateNew {
		panic("weir: namespace " + path + " is not declared and the server runs already: see Declare")
	}
	n, err := s.Declare(NamespaceOptions{Path: path}, nil)
	if err != nil {
		if n := s.byPath.Find(path); n != nil { // somebody else was faster
			return n
		}
		panic("weir: " + err.Error())
	}
	s.log.Info("the application has declared a namespace that no option names", "namespace", path)
	return n
}

// Declare adds a namespace to the first door, before Run or while the server runs. From when it
// returns clients can join it; those that asked for it before were refused and have to ask again.
// setUp, if it is not nil, is called before the first client can come: there the checks and
// handlers are registered that its clients must not get around. It must not wait for clients of the
// namespace.
//
// A namespace stays until the end of the server. Errors: ErrInvalid, with every problem of the
// options at once, or because a door has a namespace of that path; ErrUnavailable where the journal cannot be opened; ErrDraining
// once the server has stopped.
func (s *Server) Declare(o NamespaceOptions, setUp func(*Namespace)) (*Namespace, error) {
	return s.declare(s.doors[0], o, setUp)
}

// declare adds a namespace to a door.
func (s *Server) declare(d *door, o NamespaceOptions, setUp func(*Namespace)) (*Namespace, error) {
	var p problems
	o.validateCluster(&p, "Namespace", &s.opts.Cluster)
	if o.validate(&p, "Namespace", d.opts.Auth, s.opts.Journal.Path); p != nil {
		return nil, coded(ErrInvalid, errors.Join(p...).Error())
	}
	o.Topics, o.AutoSubscribe, o.Schemas = slices.Clone(o.Topics), slices.Clone(o.AutoSubscribe), slices.Clone(o.Schemas)
	n := s.newNamespace(d, o)
	if err := s.openLogsOf(n); err != nil {
		return nil, err
	}
	if setUp != nil {
		setUp(n)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.state.Load() == stateStopped:
		return nil, coded(ErrDraining, "the server has stopped")
	case s.byPath.Find(o.Path) != nil:
		return nil, coded(ErrInvalid, "the namespace "+o.Path+" is declared already")
	}
	s.hub.Add(n.d)
	if d.opts.Auth && !o.AuthRequired {
		d.Strict.Store(false)
	}
	s.byPath.Add(o.Path, n)
	d.namespaces.Add(o.Path, n) // last: from now on clients find it
	return n, nil
}

// openLogsOf opens the logs of a namespace that is declared while the server runs; those of the others Run opens.
func (s *Server) openLogsOf(n *Namespace) error {
	clustered := s.opts.Cluster.Broker != nil
	if !s.running() || (!clustered && !slices.ContainsFunc(n.opts.Topics, func(t TopicOptions) bool { return t.journaled() })) {
		return nil
	}
	var err error
	if clustered {
		err = s.fleet.serve(context.Background(), n)
	} else {
		err = s.disk.open()
	}
	if err == nil {
		err = n.d.OpenLogs(context.Background())
	}
	if err != nil {
		return &Error{Code: ErrUnavailable, Reason: err.Error(), Cause: err}
	}
	return nil
}

// newNamespace makes a namespace of a door that nobody finds yet.
func (s *Server) newNamespace(d *door, o NamespaceOptions) *Namespace {
	spec := delivery.NamespaceSpec{
		Path: o.Path, Events: o.eventsPolicy(),
		Subscriptions: d.opts.Limits.SubscriptionsPerSocket, Rooms: d.opts.Limits.RoomsPerSocket,
		Names:   d.opts.Limits.TopicsPerNamespace,
		Deflate: d.opts.SocketIO.PerMessageDeflate, Watch: s.opts.Events.watch(),
	}
	for i := range o.Topics {
		t := &o.Topics[i]
		spec.Topics = append(spec.Topics, delivery.TopicSpec{
			Name: t.Name, Policy: t.policy(), Shape: base.Shape(o.Dialect), TTL: t.TTL, FlushDelay: t.FlushDelay,
			Key: pointer.Key(t.Key), Keep: t.keep(), Snapshot: t.Snapshot, Memory: t.memory(),
			Journal: t.journaled(), Retention: t.retention(),
		})
		if c := &s.opts.Cluster; c.Broker != nil {
			last := &spec.Topics[i]
			last.Memory, last.Journal, last.Retention = topiclog.Limits{}, true, topiclog.Limits{Records: c.shares(t)}
		}
	}
	n := &Namespace{
		srv: s, door: d, path: o.Path, opts: o, log: d.log.With("namespace", o.Path),
		d: s.hub.NewNamespace(spec), topics: make(map[*delivery.Declared]*TopicOptions),
	}
	n.mail = n.mailboxLimits()
	n.backstage.limits = workers.MailboxLimits{Jobs: serverSideEvents, Bytes: serverSideBytes, Hold: n.srv.hub.Holder(budget.Cluster)}
	n.declared = o.Schemas
	n.schemas.Store(newSchemaSet(o.Schemas, nil))
	for i, decl := range n.d.Topics() {
		n.topics[decl] = &o.Topics[i]
		n.request = max(n.request, spec.Topics[i].Policy.MaxBytes)
	}
	n.request += requestFrame
	return n
}

// maxTopicName bounds the names clients make up under a pattern, which are kept as
// long as somebody subscribes to them.
const maxTopicName = 256

// topic returns the declaration a topic's name falls under.
func (n *Namespace) topic(name string) (*TopicOptions, error) {
	if len(name) > maxTopicName {
		return nil, Errorf(ErrInvalid, "a topic's name of %d bytes: want at most %d", len(name), maxTopicName)
	}
	if !isUnicode(name) {
		return nil, coded(ErrInvalid, "a topic's name is Unicode text: this one holds a lone surrogate, U+FFFD, or bytes that are no UTF-8")
	}
	d := n.d.Declared(name)
	if d == nil || strings.HasSuffix(name, "*") || reservedTopic(name) != "" {
		return nil, coded(ErrUnknown, "unknown topic "+name+" in "+n.path)
	}
	return n.topics[d], nil
}

// isUnicode reports whether a name is text that means itself: a JSON reader makes U+FFFD of what is none, of any, so that two
// names would be one.
func isUnicode(name string) bool {
	return utf8.ValidString(name) && !strings.ContainsRune(name, utf8.RuneError)
}
