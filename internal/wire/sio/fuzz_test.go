package sio_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/streamweir/weir/internal/wire/sio"
)

// FuzzParse: what is accepted has the shape that the type promises, and encoded again it is accepted as the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`2/chat,12["message",{"a":1}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := sio.Parse(text)
		if err != nil {
			return
		}
		if len(p.Data) > 0 && !json.Valid(p.Data) {
			t.Fatalf("%q: data %q", text, p.Data)
		}
		if (p.Attachments > 0) != p.Type.HasAttachments() || p.Attachments > sio.MaxAttachments {
			t.Fatalf("%q: %v with %d attachments", text, p.Type, p.Attachments)
		}
		if p.Type == sio.Event || p.Type == sio.BinaryEvent {
			checkArgs(t, p.Data)
		}
		h := sio.EventHeader{Namespace: string(p.Namespace), ID: p.ID, HasID: p.HasID, Attachments: p.Attachments}
		again, err := sio.Parse(append(sio.AppendHeader(nil, p.Type, h), p.Data...))
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Fatalf("%q: encoded again it is %+v, %v, not %+v", text, again, err, p)
		}
	})
}

// checkArgs compares the arguments with those encoding/json sees.
func checkArgs(t *testing.T, data []byte) {
	t.Helper()
	var want []json.RawMessage
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	got := sio.SplitArgs(data, nil)
	if len(got) != len(want) {
		t.Fatalf("%q: %d arguments, want %d", data, len(got), len(want))
	}
	for i := range got {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("%q: argument %d is %q, want %q", data, i, got[i], want[i])
		}
	}
	name, err := sio.EventName(got[0])
	if err != nil || sio.Reserved(name) {
		t.Fatalf("%q: event %q, %v", data, name, err)
	}
	var decoded any
	if err := json.Unmarshal(got[0], &decoded); err == nil {
		if s, ok := decoded.(string); ok && s != name {
			t.Fatalf("%q: event %q, want %q", data, name, s)
		}
	}
}

// FuzzTextFields: of the object that is the second argument the first members of the two names are found, as encoding/json
// reads them.
func FuzzTextFields(f *testing.F) {
	f.Add([]byte(`{"topic":"a","id":"1"}`))
	f.Add([]byte(`{"id":"\u00e9","x":{"topic":"no"},"topic":"","topic":7}`))
	f.Fuzz(func(t *testing.T, object []byte) {
		args := append(append([]byte(`["ack",`), object...), ']')
		if _, err := sio.Parse(append([]byte("2"), args...)); err != nil || !utf8.Valid(object) {
			return
		}
		texts, ok := sio.TextFields(args, [2]string{"topic", "id"})
		topic, id := texts[0], texts[1]
		wantTopic, hasTopic := firstText(t, sio.SplitArgs(args, nil), "topic")
		wantID, hasID := firstText(t, sio.SplitArgs(args, nil), "id")
		if ok != (hasTopic && hasID) || (ok && (string(topic) != wantTopic || string(id) != wantID)) {
			t.Fatalf("%s: %q %q %v, want %q %v, %q %v", args, topic, id, ok, wantTopic, hasTopic, wantID, hasID)
		}
	})
}

// firstText is the first member of that name of the object args[1], if it is a string.
func firstText(t *testing.T, args [][]byte, name string) (text string, ok bool) {
	t.Helper()
	if len(args) < 2 || args[1][0] != '{' {
		return "", false
	}
	d := json.NewDecoder(bytes.NewReader(args[1]))
	_, err := d.Token() // the brace
	for err == nil && d.More() {
		var key json.Token
		var value json.RawMessage
		if key, err = d.Token(); err == nil {
			err = d.Decode(&value)
		}
		if err == nil && key == name {
			ok = value[0] == '"' && json.Unmarshal(value, &text) == nil
			return text, ok
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return "", false
}

// FuzzJSON: the scanner and encoding/json agree, except on values nested deeper than the documented limit.
func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"a":[1,true,null,"\u00e4"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		want := json.Valid(data) && depth(data) <= sio.MaxDepth
		if err := sio.CheckJSON(data); (err == nil) != want {
			t.Fatalf("%q: %v, encoding/json says %v", data, err, want)
		}
	})
}

// depth is the deepest nesting in valid JSON.
func depth(data []byte) (deepest int) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	open := 0
	for {
		token, err := d.Token()
		if err != nil {
			return deepest
		}
		switch token {
		case json.Delim('['), json.Delim('{'):
			open++
			deepest = max(deepest, open)
		case json.Delim(']'), json.Delim('}'):
			open--
		}
	}
}

// FuzzInline: the result, decoded, is what replacing placeholders in the decoded input gives, and it is refused when
// that is; and it is never much larger than what came in.
func FuzzInline(f *testing.F) {
	f.Add([]byte(`["a",{"_placeholder":true,"num":1},{"num":0,"_placeholder":true}]`), []byte("xx"), []byte{0, 255})
	f.Fuzz(func(t *testing.T, data, first, second []byte) {
		if sio.CheckJSON(data) != nil || !utf8.Valid(data) {
			return
		}
		attachments := [][]byte{first, second}
		var in any
		if json.Unmarshal(data, &in) != nil {
			return // a number beyond float64
		}
		want, ok := model(in, attachments)
		got, err := sio.Inline(nil, data, attachments)
		if err != nil {
			if ok && !strings.Contains(err.Error(), "repeated") {
				t.Fatalf("%s: refused: %v", data, err)
			}
			return
		}
		if !ok {
			t.Fatalf("%s: accepted as %s", data, got)
		}
		if len(got) > len(data)+4*(base64.StdEncoding.EncodedLen(len(first))+base64.StdEncoding.EncodedLen(len(second))+4) {
			t.Fatalf("%d bytes from %d", len(got), len(data))
		}
		var out any
		if err := json.Unmarshal(got, &out); err != nil || !reflect.DeepEqual(out, want) {
			t.Fatalf("%s: got %s, want %v", data, got, want)
		}
	})
}

// model replaces placeholders in decoded JSON as the JavaScript decoder does; false if an index is bad.
func model(v any, attachments [][]byte) (any, bool) {
	switch v := v.(type) {
	case []any:
		for i := range v {
			var ok bool
			if v[i], ok = model(v[i], attachments); !ok {
				return nil, false
			}
		}
	case map[string]any:
		if v["_placeholder"] == true {
			num, ok := v["num"].(float64)
			if !ok || num < 0 || num != float64(int(num)) || int(num) >= len(attachments) {
				return nil, false
			}
			return base64.StdEncoding.EncodeToString(attachments[int(num)]), true
		}
		for key := range v {
			var ok bool
			if v[key], ok = model(v[key], attachments); !ok {
				return nil, false
			}
		}
	}
	return v, true
}

// FuzzHeaderRoundTrip: whatever an encoder can be given, the parser reads back.
func FuzzHeaderRoundTrip(f *testing.F) {
	f.Add(byte('2'), "/chat", uint64(12), true, 0, "hello")
	f.Fuzz(func(t *testing.T, typ byte, nsp string, id uint64, hasID bool, attachments int, s string) {
		want := sio.EventHeader{Namespace: "/" + strings.ReplaceAll(strings.TrimPrefix(nsp, "/"), ",", ""), HasID: hasID}
		if hasID {
			want.ID = id
		}
		kind := sio.Connect + sio.Type(typ%7)
		if kind.HasAttachments() {
			want.Attachments = 1 + int(uint(attachments)%sio.MaxAttachments)
		}
		text := sio.AppendHeader(nil, kind, want)
		var data []byte
		switch kind {
		case sio.Disconnect:
		case sio.Connect, sio.ConnectError:
			data = append(sio.AppendString([]byte(`{"a":`), s), '}')
		default:
			data = append(sio.AppendString([]byte(`["event",`), s), ']')
		}
		p, err := sio.Parse(append(text, data...))
		if err != nil {
			t.Fatalf("%s%s: %v", text, data, err)
		}
		got := sio.EventHeader{Namespace: string(p.Namespace), ID: p.ID, HasID: p.HasID, Attachments: p.Attachments}
		if p.Type != kind || got != want || !bytes.Equal(p.Data, data) {
			t.Fatalf("%s%s: got %v %+v %s", text, data, p.Type, got, p.Data)
		}
		var decoded string
		quoted := sio.AppendString(nil, s)
		if err := json.Unmarshal(quoted, &decoded); err != nil || decoded != string([]rune(s)) {
			t.Fatalf("AppendString(%q) = %s decodes to %q, %v", s, quoted, decoded, err)
		}
	})
}
