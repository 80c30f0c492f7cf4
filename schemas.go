package weir

import (
	"cmp"
	"fmt"
	"io/fs"
	"math"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/guard"
	"github.com/streamweir/weir/internal/metrics"
	"github.com/streamweir/weir/internal/schema"
)

// Schema is a compiled JSON Schema, of draft 2020-12. It does not change; any goroutine may use it, and several namespaces.
type Schema struct{ s *schema.Schema }

// CompileSchema compiles a schema, a file of fsys. It may refer to files in the same directory and below it, and to nothing else:
// nothing is fetched. A format is asserted, and refused where nobody knows it; regular expressions are Go's (RE2), whose cost is
// linear in the text. The error names the file, line and column.
func CompileSchema(fsys fs.FS, name string) (*Schema, error) {
	return asSchema(schema.Compile(fsys, name))
}

// ParseSchema is CompileSchema for a schema that is not in a file, and refers to none.
func ParseSchema(text []byte) (*Schema, error) { return asSchema(schema.Parse("schema", text)) }

func asSchema(s *schema.Schema, err error) (*Schema, error) {
	if err != nil {
		return nil, &Error{Code: ErrInvalid, Reason: err.Error(), Cause: err}
	}
	return &Schema{s}, nil
}

// SchemaOptions have what clients send be held to a JSON Schema, on a worker, before any check, observer or handler of the
// application sees it. What is not as it says is answered ErrSchema, with the path and the rule, counted
// (weir_schema_violations_total), and not delivered (docs/guide/security.md).
//
// Of an event the schema is about its one argument: none, or several, break the rule "arguments". Of a client's publish it is about
// the payload. A binary part is no JSON: it may stand only where the schema says nothing at all, true or {}.
type SchemaOptions struct {
	// Name is what it is about: an event of this name, and a topic of this name to which a client publishes; or all that begin
	// so, where it ends in "*". Of several the exact one counts, else that with the longest prefix.
	Name   string
	Schema *Schema
	// Arguments has the schema be about the array of all arguments of the event. Not for topics.
	Arguments bool
	// Publish holds to it also what the application publishes to the topics of that name: Publish, and the management API.
	Publish bool
	// MaxBytes and MaxDepth bound the JSON that is looked into; default 64 KiB, and 32 arrays and objects in each other, 512 at
	// most. More breaks the rules "maxBytes" and "maxDepth".
	MaxBytes, MaxDepth int
	DryRun             bool // counts and logs what it would refuse, and lets everything through
}

// maxSchemas bounds those of a namespace: each is a label of a metric.
const maxSchemas = 1000

func (n *NamespaceOptions) validateSchemas(p *problems, at string) {
	if len(n.Schemas) > maxSchemas {
		p.add("%s.Schemas: %d: want at most %d", at, len(n.Schemas), maxSchemas)
	}
	seen := map[string]bool{}
	for i := range n.Schemas {
		o, where := &n.Schemas[i], fmt.Sprintf("%s.Schemas[%d] (%s)", at, i, clipped(n.Schemas[i].Name))
		if seen[o.Name] {
			p.add("%s: another one has the name", where)
		}
		seen[o.Name] = true
		o.validate(p, where)
		topic := n.topicNear(o.Name)
		switch {
		case o.Publish && topic == nil:
			p.add("%s.Publish: no topic of that name is declared", where)
		case o.Arguments && topic != nil:
			p.add("%s.Arguments: topic %s has a payload, not arguments", where, topic.Name)
		}
	}
}

func (o *SchemaOptions) validate(p *problems, at string) {
	pattern(p, at+".Name", o.Name)
	switch name := strings.TrimPrefix(o.Name, "weir:"); {
	case o.Name == "":
		p.add("%s: want the name of an event or a topic; * is all", at)
	case name != o.Name || deliveryEvents[name]:
		p.add("%s: %q is a delivery event: its payload is held to the schema of its topic", at, o.Name)
	}
	if o.Schema == nil || o.Schema.s == nil {
		p.add("%s.Schema: is not set: see CompileSchema", at)
	}
	within(p, at+".MaxBytes", o.MaxBytes, 0, math.MaxInt32)
	within(p, at+".MaxDepth", o.MaxDepth, 0, schema.MaxDepth)
}

// topicNear is a topic that the name of a schema may be about; nil: there is none.
func (n *NamespaceOptions) topicNear(name string) *TopicOptions {
	prefix, open := strings.CutSuffix(name, "*")
	for i := range n.Topics {
		t := &n.Topics[i]
		topic, pattern := strings.CutSuffix(t.Name, "*")
		if t.Name == name || (open && strings.HasPrefix(topic, prefix)) || (pattern && strings.HasPrefix(prefix, topic)) {
			return t
		}
	}
	return nil
}

// HandleOption changes what Handle does.
type HandleOption func(n *Namespace, event string)

// WithSchema has the event held to a schema, as NamespaceOptions.Schemas do, in the place of one of the same name there. Its Name
// is the event's, or left out. The type that Handle decodes into says less than a schema: fields that are missing are zero, and
// those that are not known are passed over.
func WithSchema(o SchemaOptions) HandleOption {
	return func(n *Namespace, event string) {
		if o.Name == "" {
			o.Name = event
		}
		one := n.opts
		one.Schemas = []SchemaOptions{o}
		var p problems
		if one.validateSchemas(&p, "WithSchema"); o.Name != event {
			p.add("WithSchema.Name %q: the event is %q", o.Name, event)
		}
		if p != nil {
			panic("weir: " + p[0].Error())
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		n.coded = append(slices.DeleteFunc(n.coded, func(old SchemaOptions) bool { return old.Name == o.Name }), o)
		n.schemas.Store(newSchemaSet(n.schemasLocked(), n.schemas.Load()))
	}
}

// schemasLocked are those of the options, and of WithSchema.
func (n *Namespace) schemasLocked() []SchemaOptions {
	list := slices.DeleteFunc(slices.Clone(n.declared), func(o SchemaOptions) bool {
		return slices.ContainsFunc(n.coded, func(c SchemaOptions) bool { return c.Name == o.Name })
	})
	return append(list, n.coded...)
}

// schemaSet is what the names of a namespace are held to. It does not change.
type schemaSet struct {
	exact    map[string]*checked
	prefixes []*checked // the longest first
}

// checked is what one name is held to.
type checked struct {
	SchemaOptions
	limits schema.Limits
	count  *checkCounts
}

// checkCounts are of a name, whatever its schema is.
type checkCounts struct{ violations, dry atomic.Uint64 }

// newSchemaSet is nil for no schemas. What was counted under the names of an earlier set goes on.
func newSchemaSet(list []SchemaOptions, before *schemaSet) *schemaSet {
	if len(list) == 0 {
		return nil
	}
	s := &schemaSet{exact: make(map[string]*checked)}
	for _, o := range list {
		c := &checked{SchemaOptions: o, limits: schema.Limits{Bytes: o.MaxBytes, Depth: o.MaxDepth}, count: new(checkCounts)}
		before.each(func(old *checked) {
			if old.Name == o.Name {
				c.count = old.count
			}
		})
		if strings.HasSuffix(o.Name, "*") {
			s.prefixes = append(s.prefixes, c)
		} else {
			s.exact[o.Name] = c
		}
	}
	slices.SortFunc(s.prefixes, func(a, b *checked) int { return cmp.Compare(len(b.Name), len(a.Name)) })
	return s
}

// each calls f for all of them.
func (s *schemaSet) each(f func(*checked)) {
	if s == nil {
		return
	}
	for _, c := range s.exact {
		f(c)
	}
	for _, c := range s.prefixes {
		f(c)
	}
}

// find is what a name is held to; nil: nothing.
func (s *schemaSet) find(name string) *checked {
	if s == nil {
		return nil
	}
	if c := s.exact[name]; c != nil {
		return c
	}
	for _, c := range s.prefixes {
		if strings.HasPrefix(name, c.Name[:len(c.Name)-1]) {
			return c
		}
	}
	return nil
}

func (s *schemaSet) figures() (list []metrics.SchemaFigures) {
	s.each(func(c *checked) {
		list = append(list, metrics.SchemaFigures{Name: c.Name, Violations: c.count.violations.Load(), Dry: c.count.dry.Load()})
	})
	return list
}

// checkEvent holds an event of a client to its schema, if it has one. On a worker.
func (n *Namespace) checkEvent(s *Socket, e *Event) error {
	c := n.schemas.Load().find(e.Name)
	if c == nil {
		return nil
	}
	var raw []byte
	var sole bool
	if c.Arguments {
		raw = e.in.Raw()
	} else if raw, sole = e.in.Sole(); !sole {
		return n.violated(c, s, &schema.Violation{Rule: "arguments", Reason: fmt.Sprintf("want one argument, not %d", e.Len())})
	}
	return n.violated(c, s, n.holding(c, len(raw), func() *schema.Violation { return c.Schema.s.Check(raw, len(e.Attachments()), c.limits) }))
}

// publisherKind is who publishes.
type publisherKind uint8

const (
	byApplication publisherKind = iota
	byClient
)

// checkPublication holds a publication to the schema of its topic, if it has one that is for who publishes.
func (n *Namespace) checkPublication(from publisherKind, topic string, p *delivery.Publication) error {
	c := n.schemas.Load().find(topic)
	if c == nil || (from == byApplication && !c.Publish) {
		return nil
	}
	if p.Binary {
		return n.violated(c, nil, c.Schema.s.CheckBinary())
	}
	return n.violated(c, nil, n.holding(c, len(p.Payload), func() *schema.Violation { return c.Schema.s.Check(p.Payload, 0, c.limits) }))
}

// holding has the budget count what a check holds.
func (n *Namespace) holding(c *checked, bytes int, check func() *schema.Violation) *schema.Violation {
	bytes = min(bytes, orDefault(c.MaxBytes, schema.DefaultBytes)) // more is not looked into
	hold := n.srv.hub.Holder(budget.Mailboxes)
	hold(schema.HeldPerByte * bytes)
	defer hold(-schema.HeldPerByte * bytes)
	return check()
}

// violated counts a violation, and is what is told of it; nil for none, and for one that is only tried. s is whose event it was;
// nil: who has published is told.
func (n *Namespace) violated(c *checked, s *Socket, v *schema.Violation) error {
	if v == nil {
		return nil
	}
	said := "an event or publication is not as its schema says"
	count := &c.count.violations
	if c.DryRun {
		said, count = "an event or publication is not as its schema says: it was let through, dryRun is set", &c.count.dry
	}
	count.Add(1)
	n.noteViolation(c, s, v, said)
	if c.DryRun {
		return nil
	}
	return &Error{Code: ErrSchema, Reason: v.Error(), Cause: v}
}

// noteViolation logs the first of a schema, rule and address at once, and those after it summed up, once a minute.
func (n *Namespace) noteViolation(c *checked, s *Socket, v *schema.Violation, said string) {
	var addr netip.Addr
	id := ""
	if s != nil {
		addr, id = s.client.Remote(), s.ID()
	}
	key := guard.RefusalKey{Kind: refusedSchema, Addr: addr, Detail: n.path + " " + c.Name + " " + v.Rule}
	if n.srv.refusals.Note(key, time.Now(), time.Time{}) {
		n.log.Warn(said, "schema", c.Name, "path", v.Path, "rule", v.Rule, "reason", v.Reason, "socket", id, "address", addr)
	}
}
