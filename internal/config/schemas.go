package config

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/streamweir/weir"
)

// schemas compiles the JSON Schemas of a namespace. Relative paths begin at the configuration.
func (r *reader) schemas(path string, n *namespace) (list []weir.SchemaOptions) {
	for _, name := range slices.Sorted(maps.Keys(n.Schemas)) {
		k, at := n.Schemas[name], below(path, name)
		if k.File == "" {
			if !r.booked(at) {
				r.wrong(at+".file", "is empty: want the name of a JSON Schema file")
			}
			continue
		}
		k.File = r.fromHere(k.File)
		s, err := compileSchema(k.File)
		if err != nil {
			r.wrong(at, "%s", reasonOf(err))
			continue
		}
		list = append(list, weir.SchemaOptions{
			Name: name, Schema: s, Arguments: k.Arguments, Publish: k.PublishAPI, MaxBytes: k.MaxBytes, MaxDepth: k.MaxDepth, DryRun: k.DryRun,
		})
	}
	return list
}

// compileSchema compiles a file. What it refers to is looked for in its directory, of which no link leads out.
func compileSchema(file string) (*weir.Schema, error) {
	dir, err := os.OpenRoot(filepath.Dir(file))
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }() // all is read
	return weir.CompileSchema(dir.FS(), filepath.Base(file))
}

// reasonOf is an error without its code, which a file's reader has no use for.
func reasonOf(err error) string {
	if e, ok := errors.AsType[*weir.Error](err); ok {
		return e.Reason
	}
	return err.Error()
}
