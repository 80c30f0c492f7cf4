package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Bounds of schemas, which are the operator's: against a file that is something else.
const (
	maxFile  = 1 << 20
	maxFiles = 100
)

// base is where a schema and the files it refers to are for the library; "../x" leads out of it, where it is noticed.
const base = "schema:///files/"

// sources are the files of one schema, as they were when it was compiled first.
type sources struct {
	dir   fs.FS
	name  string // in dir
	shown string // the directory, for messages; "" is none
	texts map[string][]byte
}

func newSources(fsys fs.FS, name string) (*sources, error) {
	if !fs.ValidPath(name) || name == "." {
		return nil, &Fault{File: name, Reason: "is not the name of a file: want one without .. and without a slash in front"}
	}
	dir := fsys
	if d := path.Dir(name); d != "." {
		var err error
		if dir, err = fs.Sub(fsys, d); err != nil {
			return nil, &Fault{File: name, Reason: err.Error()}
		}
	}
	s := &sources{dir: dir, name: path.Base(name), shown: path.Dir(name), texts: map[string][]byte{}}
	_, err := s.document(s.name)
	return s, err
}

// Load implements jsonschema.URLLoader: it is asked for what a schema refers to.
func (s *sources) Load(from string) (any, error) {
	name, inside := strings.CutPrefix(from, base)
	if !inside {
		if strings.HasPrefix(from, "schema:") {
			return nil, errors.New("it leads out of the directory of the schema")
		}
		return nil, errors.New("a reference to another place is not followed: put what it refers to beside the schema, or into its $defs; a relative one begins at $id, where there is one")
	}
	name, err := url.PathUnescape(name)
	if err != nil || !fs.ValidPath(name) {
		return nil, errors.New("it is not the name of a file")
	}
	return s.document(name)
}

// document reads a file of the schema; the second time as it was the first.
func (s *sources) document(name string) (any, error) {
	text, known := s.texts[name]
	if !known {
		var err error
		if text, err = s.read(name); err != nil {
			return nil, err
		}
		s.texts[name] = text
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var doc any
	err := d.Decode(&doc)
	if err == nil && len(bytes.TrimSpace(text[d.InputOffset():])) > 0 {
		return nil, s.fault(name, int(d.InputOffset()), "something follows the schema")
	}
	if err != nil {
		return nil, s.fault(name, errorOffset(err, len(text)), "not JSON: "+err.Error())
	}
	l := Limits{Bytes: maxFile, Depth: MaxDepth}
	if v := l.check(text); v != nil {
		return nil, s.fault(name, 0, v.Reason)
	}
	if o, isObject := doc.(map[string]any); isObject {
		if draft, ok := o["$schema"]; ok && draft != "https://json-schema.org/draft/2020-12/schema" {
			return nil, s.fault(name, find(text, "/$schema"), fmt.Sprintf(
				"$schema %v: want https://json-schema.org/draft/2020-12/schema, or no $schema", draft))
		}
	}
	return doc, nil
}

func (s *sources) read(name string) ([]byte, error) {
	at := s.file(name)
	if s.dir == nil {
		return nil, &Fault{File: at, Reason: "the schema is not in a file: there is no directory to look in"}
	}
	if len(s.texts) >= maxFiles {
		return nil, &Fault{File: at, Reason: fmt.Sprintf("more than %d files belong to one schema", maxFiles)}
	}
	f, err := s.dir.Open(name)
	if err != nil {
		return nil, &Fault{File: at, Reason: reasonOf(err)}
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, &Fault{File: at, Reason: reasonOf(err)}
	case !info.Mode().IsRegular():
		return nil, &Fault{File: at, Reason: "is not a regular file"}
	case info.Size() > maxFile:
		return nil, &Fault{File: at, Reason: fmt.Sprintf("has %d bytes: want at most %d", info.Size(), maxFile)}
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(io.LimitReader(f, maxFile)); err != nil {
		return nil, &Fault{File: at, Reason: reasonOf(err)}
	}
	return bytes.TrimPrefix(b.Bytes(), []byte("\ufeff")), nil
}

// file is a file's name as the operator knows it.
func (s *sources) file(name string) string { return path.Join(s.shown, name) }

// compile makes a copy.
func (s *sources) compile() (*compiled, error) {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.UseLoader(s)
	copied := new(compiled)
	copied.equip(c)
	root, err := c.Compile(base + url.PathEscape(s.name))
	if err != nil {
		return nil, s.explain(err)
	}
	takeUnique(root)
	copied.root = root
	return copied, nil
}
