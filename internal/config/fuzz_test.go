package config_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/config"
)

func FuzzLoad(f *testing.F) {
	for _, folder := range []string{"valid", "invalid"} {
		list, err := os.ReadDir("testdata/" + folder)
		if err != nil {
			f.Fatal(err)
		}
		for _, e := range list {
			src, err := os.ReadFile("testdata/" + folder + "/" + e.Name())
			if err != nil {
				f.Fatal(err)
			}
			if !strings.HasSuffix(e.Name(), ".golden") {
				f.Add(src, strings.HasSuffix(e.Name(), ".json"))
			}
		}
	}
	f.Fuzz(func(t *testing.T, src []byte, asJSON bool) {
		if len(src) > 8<<10 {
			return // the YAML parser's time grows with the square
		}
		name := "weir.yaml"
		if asJSON {
			name = "weir.json"
		}
		c, err := config.Parse(name, src, config.LoadOptions{Environ: []string{"X=1", "WEIR_LOG_LEVEL=info"}})
		var p *config.Problems
		switch {
		case err == nil:
			var out strings.Builder
			if err := c.WriteYAML(&out, config.WithOrigins); err != nil {
				t.Fatal(err)
			}
			if err := c.Options.Validate(); err != nil {
				t.Fatalf("accepted, but New would refuse it: %v", err)
			}
			if strings.Contains(out.String(), "***") {
				return // masked secrets are all alike
			}
			if _, err := config.Parse("shown.yaml", []byte(out.String()), config.LoadOptions{}); err != nil {
				t.Fatalf("accepted, but shown so that it is not: %v\n%s", err, out.String())
			}
		case !errors.As(err, &p) || len(p.List) == 0 || p.Detail() == "":
			t.Fatalf("refused without a problem: %v", err)
		}
	})
}
