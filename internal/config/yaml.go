package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxDepth bounds nesting: the parser recurses, and the table of keys is much flatter.
const maxDepth = 64

// parseYAML reads one document. A defect of the parser becomes a problem, not a crash.
func parseYAML(in *input, text string) (root *node) {
	defer func() {
		if recover() != nil {
			in.fault(1, 1, "the YAML parser gave up on this file: write it more plainly, or as JSON")
			root = nil
		}
	}()
	tokens := lexer.Tokenize(text)
	if t := tooDeep(tokens); t != nil {
		in.fault(t.Position.Line, t.Position.Column, fmt.Sprintf("nested deeper than %d levels", maxDepth))
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		in.syntax(err)
		return nil
	}
	body := oneDocument(in, file)
	if body == nil {
		return nil
	}
	r := yamlReader{in: in, anchors: map[string]anchor{}}
	root = r.read(body)
	if len(in.problems.List) > 0 {
		return nil
	}
	return root
}

// tooDeep returns the token that nests too deep: brackets, or dashes on one line.
func tooDeep(tokens token.Tokens) *token.Token {
	brackets, dashes, line := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			dashes, line = 0, t.Position.Line
		}
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			brackets++
		case token.MappingEndType, token.SequenceEndType:
			brackets--
		case token.SequenceEntryType, token.TagType, token.AnchorType, token.MappingKeyType:
			dashes++
		}
		if brackets > maxDepth || dashes > maxDepth || t.Position.IndentNum > 16*maxDepth {
			return t
		}
	}
	return nil
}

// oneDocument returns the only document of the file. An empty file is an empty mapping.
func oneDocument(in *input, file *ast.File) ast.Node {
	var body ast.Node
	for _, d := range file.Docs {
		if _, directive := d.Body.(*ast.DirectiveNode); directive || d.Body == nil {
			continue
		}
		if body != nil {
			at := start(d.Body)
			in.fault(at.Line, at.Column, "a second document: want one per file")
			return nil
		}
		body = d.Body
	}
	if body == nil {
		in.fault(1, 1, "the file is empty: want at least servers; `weir config init` prints a starter")
	}
	return body
}

// start is where a node begins; a block mapping begins with its first key, not its colon.
func start(n ast.Node) *token.Position {
	switch v := n.(type) {
	case *ast.MappingNode:
		if !v.IsFlowStyle && len(v.Values) > 0 {
			return start(v.Values[0])
		}
	case *ast.MappingValueNode:
		return start(v.Key)
	}
	return n.GetToken().Position
}

// yamlReader turns the parser's tree into nodes.
type yamlReader struct {
	in      *input
	anchors map[string]anchor // complete ones: an alias cannot contain itself
	values  int               // read so far, those behind aliases counted each time
}

// anchor is a named value and how many values it is made of.
type anchor struct {
	value *node
	size  int
}

// maxValues bounds what aliases of aliases can make of a small file.
const maxValues = 50_000

func (r *yamlReader) fault(n ast.Node, message string) *node {
	at := start(n)
	r.in.fault(at.Line, at.Column, message)
	return &node{at: r.in.place(at.Line, at.Column)}
}

func (r *yamlReader) read(n ast.Node) *node {
	r.values++
	switch v := n.(type) {
	case *ast.MappingNode:
		return r.mapping(n, v.Values)
	case *ast.MappingValueNode:
		return r.mapping(n, []*ast.MappingValueNode{v})
	case *ast.SequenceNode:
		list := &node{kind: listNode, at: r.at(n)}
		for _, item := range v.Values {
			list.items = append(list.items, r.read(item))
		}
		return list
	case *ast.AnchorNode:
		before := r.values
		value := r.read(v.Value)
		r.anchors[v.Name.String()] = anchor{value, r.values - before}
		return value
	case *ast.AliasNode:
		a, ok := r.anchors[v.Value.String()]
		if !ok {
			return r.fault(n, "no anchor of this name before it")
		}
		if r.values > maxValues {
			return &node{at: r.at(n)} // said once
		}
		if r.values += a.size; r.values > maxValues {
			return r.fault(n, fmt.Sprintf("aliases make the file larger than %d values", maxValues))
		}
		return a.value
	case *ast.TagNode:
		return r.fault(n, "tags (!…) are not used in this file: remove it")
	case nil:
		return &node{}
	}
	return r.scalar(n)
}

func (r *yamlReader) at(n ast.Node) place {
	p := start(n)
	return r.in.place(p.Line, p.Column)
}

func (r *yamlReader) scalar(n ast.Node) *node {
	out := &node{kind: textNode, at: r.at(n)}
	tk := n.GetToken()
	switch v := n.(type) {
	case *ast.LiteralNode:
		out.text = v.Value.Value
		return out
	case *ast.StringNode:
		out.text = v.Value
		if tk.Type == token.SingleQuoteType || tk.Type == token.DoubleQuoteType {
			return out
		}
		out.kind = classify(v.Value)
		return out
	case ast.ScalarNode:
		out.text = tk.Value
		if tk.Type == token.ImplicitNullType {
			out.text = ""
		}
		if out.kind = classify(out.text); out.kind == textNode {
			out.kind = oddNode
		}
		if n.Type() == ast.NullType {
			out.kind = nullNode
		}
		return out
	}
	return r.fault(n, "this form of YAML is not used in this file")
}

func (r *yamlReader) mapping(n ast.Node, values []*ast.MappingValueNode) *node {
	out := &node{kind: mappingNode, at: r.at(n)}
	var merged []entry
	for _, v := range values {
		if v.Key.IsMergeKey() {
			merged = append(merged, r.merge(v.Value)...)
			continue
		}
		name, ok := keyName(v.Key)
		if !ok {
			r.fault(v.Key, "a key of this form is not used in this file: want a name")
			continue
		}
		out.entries = append(out.entries, entry{name, r.at(v.Key), r.read(v.Value)})
	}
	for _, e := range merged {
		if out.get(e.name) == nil {
			out.entries = append(out.entries, e)
		}
	}
	return out
}

// keyName is the text of a key. Names that look like numbers are names.
func keyName(k ast.MapKeyNode) (string, bool) {
	switch v := k.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		return k.GetToken().Value, true
	}
	return "", false
}

// merge reads the value of "<<": a mapping, or a list of them.
func (r *yamlReader) merge(n ast.Node) []entry {
	value := r.read(n)
	switch value.kind {
	case mappingNode:
		return slices.Clone(value.entries)
	case listNode:
		var all []entry
		for _, item := range value.items {
			all = append(all, item.entries...)
		}
		return all
	default:
		r.fault(n, "<< wants a mapping")
		return nil
	}
}

// syntax books what the parser found.
func (in *input) syntax(err error) {
	var e yaml.Error
	if !errors.As(err, &e) || e.GetToken() == nil {
		in.fault(1, 1, "not YAML")
		return
	}
	at := e.GetToken().Position
	in.fault(at.Line, max(at.Column, 1), "not YAML: "+strings.TrimSpace(e.GetMessage()))
}
