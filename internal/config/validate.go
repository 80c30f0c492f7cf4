package config

import (
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/streamweir/weir"
)

// located takes the place in weir.Options from a problem that Options.Validate found.
var located = regexp.MustCompile(`(?s)^(Servers|Management|Journal|Cluster|Hooks)(?:\[(\d+)\])?(?:\.Namespaces\[(\d+)\])?(?:\.Topics\[(\d+)\](?: \(.*?\))?)?(?:\.([A-Z]\w*)[\w.\[\]]*)?:? ?(.*)$`)

// originEntry takes the place in the list from a problem of an origin.
var originEntry = regexp.MustCompile(`^origins(\[\d+\]) (.*)$`)

// revokedEntry takes the place in the list from a problem of something revoked.
var revokedEntry = regexp.MustCompile(`(?s)^Revoked\.(\w+)(\[\d+\])?: (.*)$`)

// inboundField takes the limit and its option from a problem of what clients may send, and inboundKeys says which key it is.
var (
	inboundField = regexp.MustCompile(`(?s)^Servers\[(\d+)\]\.Limits\.Inbound(\[\d+\])?(?:\.([A-Z]\w*))?:? (.*)$`)
	inboundKeys  = map[string]string{
		"Events": "events", "Topics": "topics", "Messages": "messages", "Bytes": "bytes", "Window": "windowMs", "Action": "action", "Per": "per",
	}
)

// schemaField takes the schema and its option from a problem of one, and schemaKeyOf says which key it is.
var (
	schemaField = regexp.MustCompile(`(?s)^Servers\[(\d+)\]\.Namespaces\[(\d+)\]\.Schemas\[(\d+)\] \(.*?\)(?:\.([A-Z]\w*))?:? (.*)$`)
	schemaKeyOf = map[string]string{"Arguments": ".arguments", "Publish": ".publishApi", "MaxBytes": ".maxBytes", "MaxDepth": ".maxDepth", "Schema": ".file"}
)

// fieldKeys are the keys whose option has another name.
var fieldKeys = map[string]string{
	"Addr": "port", "Overflow": "overflowAction", "Mode": "deliveryMode", "Max": "maxQueuedMessagesPerClient",
	"AckTimeout": "ackTimeoutMs", "TTL": "ttlMs", "FlushDelay": "flushDelayMs", "SocketIO": "socketio", "EventsOverflow": "eventsLane", "TLS": "tls", "CAFile": "caFile",
}

// tlsField takes the option of TLS from a problem, and tlsKeyOf says which key it is.
var (
	tlsField = regexp.MustCompile(`\.TLS\.([A-Z]\w*)`)
	tlsKeyOf = map[string]string{
		"CertFile": "certChainPemPath", "KeyFile": "privateKeyPemPath", "ClientCAFile": "clientCAFile",
		"MinVersion": "protocol", "MaxHandshakes": "maxHandshakes",
	}
)

// validate adds what Options.Validate finds and this package does not look for itself, such as reserved names and
// malformed origins, at the keys it comes from: the rules are the library's, so that a file and an embedder meet the
// same ones.
func (r *reader) validate(o *weir.Options) {
	err := o.Validate()
	if err == nil {
		return
	}
	list := []error{err}
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		list = joined.Unwrap()
	}
	for _, e := range list {
		path, message := r.locate(o, e.Error())
		if strings.HasPrefix(path, "management") && r.bookedBelow("management") {
			continue // looked at before, entry by entry
		}
		if strings.HasPrefix(path, "hooks") && (r.booked(path) || r.bookedBelow(path)) {
			continue // as hooks has said
		}
		if strings.HasSuffix(message, "empty, want a PEM file") {
			continue // as tls has said
		}
		if r.booked(path + ".name") {
			continue // a topic that has no name
		}
		for line := range strings.SplitSeq(message, "\n") {
			if m := originEntry.FindStringSubmatch(line); m != nil {
				r.wrong(path+m[1], "%s", m[2])
				continue
			}
			r.wrong(path, "%s", line)
		}
	}
}

// locate translates "Servers[0].Namespaces[1].Topics[2] (x).Overflow …" to a path of the file.
func (r *reader) locate(o *weir.Options, text string) (path, message string) {
	if m := revokedEntry.FindStringSubmatch(text); m != nil {
		return "access.revoked." + strings.ToLower(m[1]) + m[2], m[3]
	}
	if m := inboundField.FindStringSubmatch(text); m != nil {
		if i, err := strconv.Atoi(m[1]); err == nil && i < len(o.Servers) {
			path = below("servers", o.Servers[i].Name) + ".limits.inbound" + m[2]
			if key := inboundKeys[m[3]]; key != "" {
				path += "." + key
			}
			return path, m[4]
		}
	}
	if path, message, is := locateSchema(o, text); is {
		return path, message
	}
	m := located.FindStringSubmatch(text)
	if m == nil {
		return "", text
	}
	path = strings.ToLower(m[1])
	if m[1] == "Servers" {
		i, err := strconv.Atoi(m[2])
		if err != nil || i >= len(o.Servers) {
			return "", text
		}
		path = below("servers", o.Servers[i].Name)
	}
	if m[3] != "" {
		path += ".namespaces[" + m[3] + "]"
	}
	if m[4] != "" {
		path += ".topics[" + m[4] + "]"
	}
	field := m[5]
	if field == "" {
		return path, m[6]
	}
	name, other := fieldKeys[field]
	if !other {
		name = strings.ToLower(field[:1]) + field[1:]
	}
	if sub := tlsField.FindStringSubmatch(text); name == "tls" && sub != nil {
		name += "." + tlsKeyOf[sub[1]]
	}
	if m[4] != "" {
		space, _, _ := strings.Cut(path, ".topics[")
		return policyPaths{namespace: space, topic: path}.of(r, name), m[6]
	}
	return path + "." + name, m[6]
}

// locateSchema is locate for a problem of a schema, whose key is its name.
func locateSchema(o *weir.Options, text string) (path, message string, is bool) {
	m := schemaField.FindStringSubmatch(text)
	if m == nil {
		return "", "", false
	}
	var at [3]int
	for i := range at {
		at[i], _ = strconv.Atoi(m[1+i]) // digits, as the expression says
	}
	s := &o.Servers[at[0]]
	path = below("servers", s.Name) + ".namespaces[" + m[2] + "].schemas"
	return below(path, s.Namespaces[at[1]].Schemas[at[2]].Name) + schemaKeyOf[m[4]], m[5], true
}

// booked reports whether a problem of this path is known already.
func (r *reader) booked(path string) bool {
	return slices.ContainsFunc(r.in.problems.List, func(p Problem) bool { return p.Path == path })
}

// bookedBelow reports whether a problem of a value within path is known already.
func (r *reader) bookedBelow(path string) bool {
	return slices.ContainsFunc(r.in.problems.List, func(p Problem) bool {
		rest, within := strings.CutPrefix(p.Path, path)
		return within && rest != "" && strings.ContainsRune(".[", rune(rest[0]))
	})
}
