package schema

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// effort bounds the work of one check. A schema that refers to itself from two branches of an anyOf looks at what is inside of a
// value twice, at what is inside of that four times, and so on: no limit on the value's depth is small enough for it. The
// library asks each schema's extension, and each regular expression; both count.
type effort struct{ left int }

// What a check may do: so much, and so much more for each byte of the value. One schema looking at one value is 1.
const (
	effortBase    = 10_000
	effortPerByte = 8
)

// tooMuch is what a check panics with that has no effort left: the library has no other way out.
type tooMuch struct{}

func (e *effort) begin(size int) { e.left = effortBase + effortPerByte*size }

func (e *effort) spend(n int) {
	if e.left -= n; e.left < 0 {
		panic(tooMuch{})
	}
}

// Validate implements jsonschema.SchemaExt.
func (e *effort) Validate(*jsonschema.ValidatorContext, any) { e.spend(1) }

// expression is a regular expression that counts.
type expression struct {
	*regexp.Regexp
	e *effort
}

// MatchString implements jsonschema.Regexp.
func (x *expression) MatchString(s string) bool {
	x.e.spend(1 + len(s)/16)
	return x.Regexp.MatchString(s)
}

// formats are those that the library asserts; the values of any other would go unchecked.
var formats = strings.Fields("date date-time time duration email hostname ipv4 ipv6 iri iri-reference json-pointer regex " +
	"relative-json-pointer semver uri uri-reference uri-template uuid period")

// equip has the library count, and refuse what it would pass over.
func (e *effort) equip(c *jsonschema.Compiler) {
	const url = "https://github.com/streamweir/weir/effort"
	c.RegisterVocabulary(&jsonschema.Vocabulary{URL: url, Compile: func(_ *jsonschema.CompilerContext, obj map[string]any) (jsonschema.SchemaExt, error) {
		if f, ok := obj["format"].(string); ok && !slices.Contains(formats, f) {
			return nil, &unknownFormat{f}
		}
		if obj["uniqueItems"] == true {
			return unique{e}, nil
		}
		return e, nil
	}})
	c.AssertVocabs()
	c.UseRegexpEngine(func(s string) (jsonschema.Regexp, error) {
		x, err := regexp.Compile(s)
		if err != nil {
			return nil, err
		}
		return &expression{x, e}, nil
	})
}

// unknownFormat is a format that would not be asserted.
type unknownFormat struct{ name string }

func (u *unknownFormat) Error() string {
	return fmt.Sprintf("format %q is not known, so that nothing would be checked: want one of %s", u.name, strings.Join(formats, ", "))
}
