package config

import (
	"bytes"
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/attach"
)

// LoadOptions say what counts besides the file. Flags win over the environment, and that over the file.
type LoadOptions struct {
	// Environ are "NAME=value" lines, as os.Environ returns them: for ${NAME}, and for WEIR_… variables that override
	// keys. None: there is no environment.
	Environ []string
	// Overrides are values of flags by path: "management.port": "9400".
	Overrides map[string]string
	// Server, if not empty, leaves only that server.
	Server string
}

// Config is a configuration without problems. It is immutable.
type Config struct {
	// Options are what the file says, all defaults filled in. Logger, Registerer and Events are the caller's to set.
	Options weir.Options
	// Extras are for the server made of Options: attach.To, before it listens.
	Extras attach.Extras
	Log    Log
	// Warnings are to be shown by check, and logged at start.
	Warnings []Warning

	tree  *shown
	files []string
}

// Log is how to log.
type Log struct {
	Level  slog.Level
	Format string // auto, text or json; auto is text on a terminal, json elsewhere
}

// Load reads a file that ends in .yaml, .yml or .json. If it can be read but not used, the error is a *Problems with
// everything that is wrong.
func Load(path string, o LoadOptions) (*Config, error) {
	src, err := readFile(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, src, o)
}

// Parse is Load for a file that was read already. The name tells the format, appears in problems, and is where
// relative ${file:…} begin.
func Parse(name string, src []byte, o LoadOptions) (*Config, error) {
	src = bytes.TrimPrefix(src, []byte("\ufeff"))
	in := newInput(name, src)
	root := in.parse(src)
	if root == nil || in.unfit(root) {
		return nil, in.finish()
	}
	in.masks.addTree(in, root)
	r := newReader(in, environment(o.Environ))
	r.override(root, o.Overrides)
	doc := r.document(root)
	r.strangers()
	r.keyNamespaces(doc)
	r.selectServer(doc, o.Server)
	c := &Config{Options: r.options(doc), Log: Log{doc.Log.Level, doc.Log.Format}, Warnings: r.warnings}
	if err := in.finish(); err != nil {
		return nil, err
	}
	slices.SortStableFunc(c.Warnings, func(a, b Warning) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	c.tree = r.effective(doc)
	c.files = slices.Concat([]string{name}, r.files, r.references.files)
	c.Extras = attach.Extras{
		Config:                  func() any { return c.Effective() },
		ManagementAddrDefaulted: !r.isSet("management.host") && !r.isSet("management.port"),
	}
	return c, nil
}

// unfit refuses what is not one of our files at all, where a list of its keys would say less.
func (in *input) unfit(root *node) bool {
	if root.kind != mappingNode {
		in.fault(root.at.line, root.at.column, fmt.Sprintf("the file is %v, want a mapping with at least servers", root.kind))
		return true
	}
	for _, e := range root.entries {
		if e.name == "topicPolicies" && root.get("servers") == nil {
			in.fault(e.at.line, e.at.column, "this is a file of StreamFence for Java; Weir reads those of StreamFence JS, which have servers: see the guide on migrating from StreamFence")
			return true
		}
	}
	return false
}

// document decodes the tree.
func (r *reader) document(root *node) *document {
	doc := &document{}
	v := reflect.ValueOf(doc).Elem()
	r.mode = r.modeOf(root)
	r.defaults(table(), v)
	r.decode(table(), root, v, "")
	r.warnMode()
	return doc
}

func (r *reader) modeOf(root *node) mode {
	if n := root.get("weir"); n != nil {
		if text, _, err := r.references.expand(n.text); err == nil && text == "1" {
			return weirMode
		}
	}
	return streamFenceMode
}

// selectServer leaves one server, if one was asked for.
func (r *reader) selectServer(d *document, name string) {
	if name == "" || len(d.Servers) == 0 {
		return
	}
	if _, ok := d.Servers[name]; !ok {
		names := slices.Sorted(maps.Keys(d.Servers))
		r.wrong("servers", "there is no server %q%s; there are: %s", name, didYouMean(name, names), strings.Join(names, ", "))
		return
	}
	maps.DeleteFunc(d.Servers, func(other string, _ *server) bool { return other != name })
}
