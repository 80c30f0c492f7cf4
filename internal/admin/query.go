package admin

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/streamweir/weir/internal/base"
)

// query is the parameters of a request, taken out one by one and as strict as
// object: one given twice, malformed or left over is an error that names it.
type query struct {
	values url.Values
	err    *base.Error
}

func parseQuery(u *url.URL) *query {
	values, err := url.ParseQuery(u.RawQuery)
	q := &query{values: values}
	if err != nil {
		q.err = refuse(base.CodeInvalid, "malformed query: %v", err)
	}
	return q
}

func (q *query) wrong(name, format string, args ...any) {
	if q.err == nil {
		e := refuse(base.CodeInvalid, format, args...)
		e.Reason = name + ": " + e.Reason
		q.err = e
	}
}

// text takes a parameter; empty counts as left out.
func (q *query) text(name string) string {
	v := q.values[name]
	delete(q.values, name)
	switch {
	case len(v) == 0:
		return ""
	case len(v) > 1:
		q.wrong(name, "given %d times", len(v))
	case !utf8.ValidString(v[0]):
		q.wrong(name, "not valid UTF-8: %q", v[0])
	}
	return v[0]
}

// choice takes one of a few words; "" if it is left out.
func (q *query) choice(name string, words ...string) string {
	v := q.text(name)
	if v != "" && !slices.Contains(words, v) {
		q.wrong(name, "want one of %s, not %q", strings.Join(words, ", "), v)
	}
	return v
}

// count takes a whole number from least to most.
func (q *query) count(name string, otherwise, least, most int) int {
	v := q.text(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < least || n > most {
		q.wrong(name, "want %d to %d, not %q", least, most, v)
	}
	return n
}

// flag takes 1 or 0.
func (q *query) flag(name string) bool { return q.choice(name, "0", "1") == "1" }

// end reports the first error; a parameter nobody took is one.
func (q *query) end() error {
	first := ""
	for name := range q.values {
		if first == "" || name < first {
			first = name
		}
	}
	if len(q.values) > 0 {
		q.wrong(strconv.Quote(first), "no such parameter")
	}
	if q.err != nil {
		return q.err
	}
	return nil
}
