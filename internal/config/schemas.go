package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"io/fs"
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
		s, digest, err := compileSchema(k.File)
		r.contents[at+".file"], r.files = digest, append(r.files, k.File)
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
// digest is of all that was read.
func compileSchema(file string) (s *weir.Schema, digest string, err error) {
	dir, err := os.OpenRoot(filepath.Dir(file))
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = dir.Close() }() // all is read
	f := &digested{FS: dir.FS(), sum: sha256.New()}
	s, err = weir.CompileSchema(f, filepath.Base(file))
	return s, hex.EncodeToString(f.sum.Sum(nil)), err
}

// digested is a file system that adds up what is read of it.
type digested struct {
	fs.FS
	sum hash.Hash
}

// Open implements fs.FS.
func (d *digested) Open(name string) (fs.File, error) {
	f, err := d.FS.Open(name)
	if err != nil {
		return nil, err
	}
	return digestedFile{f, io.TeeReader(f, d.sum)}, nil
}

type digestedFile struct {
	fs.File
	in io.Reader
}

// Read implements fs.File.
func (f digestedFile) Read(b []byte) (int, error) { return f.in.Read(b) }

// reasonOf is an error without its code, which a file's reader has no use for.
func reasonOf(err error) string {
	if e, ok := errors.AsType[*weir.Error](err); ok {
		return e.Reason
	}
	return err.Error()
}
