package config

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// convert sets v to what a scalar says, or returns what is wrong with it and what is wanted. A value that came from a
// reference or belongs to a secret key is never quoted.
func (r *reader) convert(k *key, n *node, v reflect.Value) string {
	switch {
	case n.kind == nullNode:
		return fmt.Sprintf("has no value, want %s; or remove the key", k.want(r.mode))
	case n.kind == oddNode && (k.kind == textKind || k.kind == enumKind):
		return fmt.Sprintf("%s means different things to different readers of YAML: quote it", k.show(n))
	}
	switch k.kind {
	case textKind:
		return k.setText(n, v)
	case enumKind:
		return k.setWord(n, v)
	case booleanKind:
		return k.setBool(n, v)
	default: // the other scalars are numbers
		return k.setNumber(r.mode, n, v)
	}
}

// show quotes a value for a message, unless nobody may see it.
func (k *key) show(n *node) string {
	switch {
	case k.secret:
		return "the secret"
	case n.reference != "":
		return clip(n.reference)
	case n.kind == textNode:
		return strconv.Quote(clip(n.text))
	}
	return clip(n.text)
}

// clip shortens what is quoted in a message.
func clip(text string) string {
	const most = 80 // characters
	if letters := []rune(text); len(letters) > most {
		return string(letters[:most]) + "…"
	}
	return text
}

func (k *key) setText(n *node, v reflect.Value) string {
	if n.kind != textNode {
		return fmt.Sprintf("%s is %v, want text: quote it", k.show(n), n.kind)
	}
	if k.required && strings.TrimSpace(n.text) == "" {
		return "is empty, want text"
	}
	v.SetString(n.text)
	return ""
}

func (k *key) setWord(n *node, v reflect.Value) string {
	word := n.text
	if n.kind != textNode || !slices.Contains(k.enum, word) {
		if n.kind == textNode && n.reference == "" {
			return fmt.Sprintf("%s is not one of %s%s", strconv.Quote(clip(word)), strings.Join(k.choices(), ", "), didYouMean(word, k.choices()))
		}
		return fmt.Sprintf("%s is not one of %s", k.show(n), strings.Join(k.choices(), ", "))
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(word)); err != nil {
			return err.Error()
		}
		return ""
	}
	v.SetString(word)
	return ""
}

func (k *key) setBool(n *node, v reflect.Value) string {
	plain := n.kind == booleanNode || (n.loose && n.kind == textNode)
	switch {
	case plain && n.text == "true":
		v.SetBool(true)
	case plain && n.text == "false":
		v.SetBool(false)
	case n.kind == textNode && !n.loose && (n.text == "true" || n.text == "false"):
		return fmt.Sprintf("%q is text, want true or false: remove the quotes", n.text)
	default:
		return k.show(n) + " is not true or false"
	}
	return ""
}

func (k *key) setNumber(m mode, n *node, v reflect.Value) string {
	text := n.text
	number := n.kind == numberNode || (n.loose && n.kind == textNode && plainNumber.MatchString(text))
	switch {
	case number:
	case n.kind == textNode && !n.loose && plainNumber.MatchString(text):
		return fmt.Sprintf("%q is text, want %s: remove the quotes", text, k.want(m))
	case n.kind == oddNode:
		return fmt.Sprintf("%s is not a plain decimal number, want %s", text, k.want(m))
	default:
		return fmt.Sprintf("%s is not a number, want %s", k.show(n), k.want(m))
	}
	f, err := strconv.ParseFloat(text, 64)
	whole := k.kind != numberKind
	if err != nil || f < k.min[m] || f > k.max || (whole && f != math.Trunc(f)) {
		return fmt.Sprintf("%s is not %s", k.show(n), k.want(m))
	}
	switch {
	case !whole:
		v.SetFloat(f)
	case k.kind == durationKind:
		v.SetInt(int64(f) * int64(time.Millisecond))
	default:
		v.SetInt(int64(f))
	}
	return ""
}
