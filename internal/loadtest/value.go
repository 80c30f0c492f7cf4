package loadtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Value is a setting's place in an Options as text. It is a pflag.Value.
type Value interface {
	Set(text string) error // the error says what is wanted; it does not repeat the text
	String() string
	Type() string
}

// value is a Value over whatever set and text capture.
type value struct {
	kind string
	set  func(string) error
	text func() string
}

func (v value) Set(s string) error { return v.set(strings.TrimSpace(s)) }
func (v value) String() string     { return v.text() }
func (v value) Type() string       { return v.kind }

// isBool is the Type of the settings that are true by being named.
const isBool = "bool"

// parsed is a value that parse reads and show writes.
func parsed[T any](kind string, to *T, parse func(string) (T, error), show func(T) string) Value {
	return value{
		kind: kind,
		set: func(s string) error {
			v, err := parse(s)
			if err == nil {
				*to = v
			}
			return err
		},
		text: func() string { return show(*to) },
	}
}

func textValue(to *string) Value {
	return parsed("text", to, func(s string) (string, error) { return s, nil }, func(s string) string { return s })
}

func boolValue(to *bool) Value {
	parse := func(s string) (bool, error) {
		if s != "true" && s != "false" {
			return false, fmt.Errorf("want true or false")
		}
		return s == "true", nil
	}
	return parsed(isBool, to, parse, strconv.FormatBool)
}

func countValue(to *int, least, most int) Value {
	parse := func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || n < least || n > most {
			return 0, fmt.Errorf("want a whole number from %d to %d", least, most)
		}
		return n, nil
	}
	return parsed("number", to, parse, strconv.Itoa)
}

func rateValue(to *float64) Value {
	parse := func(s string) (float64, error) {
		r, err := strconv.ParseFloat(strings.TrimSuffix(s, "/s"), 64)
		if err != nil || !(r >= 0 && r <= 1e7) {
			return 0, fmt.Errorf("want a number a second, such as 200")
		}
		return r, nil
	}
	return parsed("rate", to, parse, func(r float64) string { return strconv.FormatFloat(r, 'g', -1, 64) })
}

func fractionValue(to *float64) Value {
	parse := func(s string) (float64, error) {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || !(f >= 0 && f <= 1) {
			return 0, fmt.Errorf("want a number from 0 to 1")
		}
		return f, nil
	}
	return parsed("fraction", to, parse, func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) })
}

func durationValue(to *time.Duration) Value {
	parse := func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		if s == "0" {
			d, err = 0, nil
		}
		if err != nil || d < 0 || d > 24*time.Hour {
			return 0, fmt.Errorf("want a time such as 10s or 500ms")
		}
		return d, nil
	}
	return parsed("duration", to, parse, time.Duration.String)
}

func sizeValue(to *int) Value { return parsed("size", to, ParseSize, sizeText) }

func byteRateValue(to *int) Value {
	show := func(n int) string {
		if n == 0 {
			return ""
		}
		return sizeText(n) + "/s"
	}
	return parsed("rate", to, ParseByteRate, show)
}

func shareValue(to *Share) Value { return parsed("share", to, ParseShare, Share.String) }

func wordValue(to *string, words ...string) Value {
	parse := func(s string) (string, error) {
		if !slices.Contains(words, s) {
			return "", fmt.Errorf("want one of %s", strings.Join(words, ", "))
		}
		return s, nil
	}
	return parsed("word", to, parse, func(s string) string { return s })
}

func jsonValue(to *json.RawMessage) Value {
	parse := func(s string) (json.RawMessage, error) {
		if s == "" {
			return nil, nil
		}
		var object map[string]json.RawMessage
		if json.Unmarshal([]byte(s), &object) != nil || object == nil {
			return nil, fmt.Errorf(`want a JSON object, such as {"token":"x"}`)
		}
		return json.RawMessage(s), nil
	}
	return parsed("json", to, parse, func(j json.RawMessage) string { return string(j) })
}

// headerValue reads one "Name: value" a line or a call: each adds to those before.
func headerValue(to *map[string]string) Value {
	return value{
		kind: "header",
		set: func(s string) error {
			for line := range strings.Lines(s) {
				name, content, ok := strings.Cut(strings.TrimSpace(line), ":")
				name, content = strings.TrimSpace(name), strings.TrimSpace(content)
				if !ok || name == "" || strings.ContainsAny(name, " \t\"(),/:;<=>?@[]{}") || strings.ContainsFunc(content, unprintable) {
					return fmt.Errorf("want NAME: VALUE")
				}
				header := maps.Clone(*to) // defaults of a file are shared by its steps
				if header == nil {
					header = map[string]string{}
				}
				header[textproto.CanonicalMIMEHeaderKey(name)] = content
				*to = header
			}
			return nil
		},
		text: func() string { return strings.Join(slices.Sorted(maps.Keys(*to)), ", ") }, // values may be secrets
	}
}

func unprintable(r rune) bool { return r < ' ' || r == 0x7f }
