package config_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/config"
)

func request(token string) weir.AuthRequest { return weir.AuthRequest{Token: token} }

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(config.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	if err := compiler.AddResource("weir.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("weir.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func decodeYAML(t *testing.T, src []byte) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(src, &v); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestSchemaAcceptsEveryValidFile(t *testing.T) {
	schema := compileSchema(t)
	sources := map[string][]byte{"Init": config.Init()}
	for _, path := range files(t, "valid") {
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sources[path] = src
	}
	for name, src := range sources {
		if err := schema.Validate(decodeYAML(t, src)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSchemaRefusesWhatLoadRefuses(t *testing.T) {
	schema := compileSchema(t)
	for _, name := range []string{"ten.yaml", "later.yaml", "missing.yaml", "java.yaml", "values.json"} {
		src, err := os.ReadFile(filepath.Join("testdata", "invalid", name))
		if err != nil {
			t.Fatal(err)
		}
		if name == "values.json" {
			src = bytes.Replace(src, []byte(`"port": 1,`), nil, 1) // a duplicate key is no JSON value
		}
		if schema.Validate(decodeYAML(t, src)) == nil {
			t.Errorf("the schema accepts %s", name)
		}
	}
}

func TestStarterLoadsAsItIsAndWithEveryCommentRemoved(t *testing.T) {
	starter := string(config.Init())
	uncommented := regexp.MustCompile(`(?m)^( *)# `).ReplaceAllString(starter, "$1")
	if uncommented == starter {
		t.Fatal("the starter has no commented keys")
	}
	as := parse(t, starter, config.LoadOptions{})
	without := parse(t, uncommented, config.LoadOptions{})
	if diff := cmp.Diff(as.Options, without.Options, functions, anySchema); diff != "" {
		t.Errorf("the comments are not the defaults: -starter +uncommented\n%s", diff)
	}
	if len(as.Warnings) > 0 {
		t.Errorf("the starter warns: %v", as.Warnings)
	}
	for _, s := range without.Effective() {
		listItem := s.Path == "servers.feed.namespaces[0].topics[0].name"
		if s.Origin == "default" && !listItem {
			t.Errorf("the starter does not show %s", s.Path)
		}
	}
}
