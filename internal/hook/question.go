package hook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The limits of a question and its answer, beside the bytes of an answer.
const (
	MaxQuestion  = 64 << 10 // bytes of its body
	maxPrincipal = 256      // bytes, as of a signed token
	maxMessage   = 1 << 10  // bytes
)

// Why a question is not asked. The texts may be told to its client.
var (
	ErrTooLong  = errors.New("what the client has sent is too large for the hook")
	ErrQuestion = errors.New("the token or the auth object is no JSON text")
)

// Question is what the backend is told of a client.
type Question struct {
	Server, Namespace string
	Token             string // "": it has none
	Auth              []byte // its auth object, JSON; nil: it sent none
	Header            http.Header
	Query             string // of its first request's URL
	Address           string
	TLS               bool
}

// asked is a question as it is sent.
type asked struct {
	Hook      string            `json:"hook"`
	Server    string            `json:"server"`
	Namespace string            `json:"namespace"`
	Token     string            `json:"token"`
	Auth      json.RawMessage   `json:"auth"`
	Headers   map[string]string `json:"headers"`
	Cookies   map[string]string `json:"cookies"`
	Query     string            `json:"query"`
	Address   string            `json:"address"`
	TLS       bool              `json:"tls"`
}

// encode is the body of a question, with those fields of the client's header that are named.
func (q *Question) encode(fields []string) ([]byte, error) {
	a := asked{
		Hook: "connect", Server: q.Server, Namespace: q.Namespace, Token: q.Token, Auth: q.Auth,
		Headers: map[string]string{}, Cookies: map[string]string{}, Query: q.Query, Address: q.Address, TLS: q.TLS,
	}
	if !utf8.ValidString(q.Token) || q.Auth != nil && !json.Valid(q.Auth) { // else two tokens could look the same to the backend
		return nil, ErrQuestion
	}
	for _, name := range fields {
		values := q.Header.Values(name)
		if len(values) == 0 {
			continue
		}
		between := ", "
		if strings.EqualFold(name, "cookie") {
			between = "; "
			a.Cookies = cookies(q.Header)
		}
		a.Headers[strings.ToLower(name)] = strings.Join(values, between)
	}
	body, err := json.Marshal(&a)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrQuestion, err)
	}
	if len(body) > MaxQuestion {
		return nil, fmt.Errorf("%w: %d bytes, want at most %d", ErrTooLong, len(body), MaxQuestion)
	}
	return body, nil
}

// cookies are those of a header by their names, of two with the same name the first.
func cookies(h http.Header) map[string]string {
	list := (&http.Request{Header: h}).Cookies()
	byName := make(map[string]string, len(list))
	for _, c := range slices.Backward(list) {
		byName[c.Name] = c.Value
	}
	return byName
}

// Grants are the topics a client may use, as a signed token's claim "weir" has them.
type Grants struct {
	Subscribe []string `json:"sub"`
	Publish   []string `json:"pub"`
	History   []string `json:"history"`
}

// Answer is what the backend says of a client.
type Answer struct {
	Allow bool
	// Of one that is let in.
	Principal, TokenID string
	Rooms              []string
	Grants             *Grants         // nil: what the configuration allows
	Data               json.RawMessage // also of one that is not
	Expires            time.Time       // zero: never
	// Of one that is not.
	Message string // "": none
	Code    string // one of Refusals; "": it names none
}

// Refusals are the codes that a refusal may have.
var Refusals = []string{"forbidden", "unauthorized", "token_expired", "limited"}

// said is an answer as it comes.
type said struct {
	Allow     *bool           `json:"allow"`
	Principal string          `json:"principal"`
	TokenID   string          `json:"tokenId"`
	Rooms     []string        `json:"rooms"`
	Topics    json.RawMessage `json:"topics"`
	Data      json.RawMessage `json:"data"`
	ExpiresAt json.RawMessage `json:"expiresAt"`
	Message   string          `json:"message"`
	Code      string          `json:"code"`
}

// strictly decodes one JSON value, nothing of which may be unknown: a misspelt grant would grant everything.
func strictly(raw []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON value")
	}
	return nil
}

// readAnswer reads the bytes of an answer. Its error has nothing of them but the names of fields.
func readAnswer(raw []byte) (Answer, error) {
	var s said
	if !utf8.Valid(raw) {
		return Answer{}, errors.New("its answer is not UTF-8")
	}
	if err := strictly(raw, &s); err != nil {
		return Answer{}, fmt.Errorf("its answer is not as it has to be: %w", err)
	}
	a := Answer{Principal: s.Principal, TokenID: s.TokenID, Rooms: s.Rooms, Data: s.Data, Message: s.Message, Code: s.Code}
	if string(a.Data) == "null" {
		a.Data = nil
	}
	switch {
	case s.Allow == nil:
		return Answer{}, errors.New(`its answer has no "allow": want true or false`)
	case !*s.Allow && len(s.Message) > maxMessage:
		return Answer{}, fmt.Errorf(`its answer has a "message" of %d bytes: want at most %d`, len(s.Message), maxMessage)
	case !*s.Allow && s.Code != "" && !slices.Contains(Refusals, s.Code):
		return Answer{}, fmt.Errorf(`its answer has a "code" that is none of %s`, strings.Join(Refusals, ", "))
	case !*s.Allow:
		return Answer{Data: a.Data, Message: a.Message, Code: a.Code}, nil
	case s.Message != "" || s.Code != "":
		return Answer{}, errors.New(`its answer has "allow": true with a message or code: those are of a refusal`)
	case len(s.Principal) > maxPrincipal || len(s.TokenID) > maxPrincipal:
		return Answer{}, fmt.Errorf(`its answer has a "principal" or "tokenId" of more than %d bytes`, maxPrincipal)
	case slices.Contains(s.Rooms, ""):
		return Answer{}, errors.New(`its answer has "rooms" with one that has no name`)
	}
	a.Allow = true
	var err error
	if len(s.Topics) > 0 {
		if a.Grants, err = readTopics(s.Topics); err != nil {
			return Answer{}, err
		}
	}
	a.Expires, err = readTime(s.ExpiresAt)
	return a, err
}

// readTopics reads "topics". A null there may have been meant as none or as all: it is refused.
func readTopics(raw []byte) (*Grants, error) {
	if string(raw) == "null" {
		return nil, errors.New(`its answer has "topics": null: leave it out for what the configuration allows, or want {"sub", "pub", "history"}`)
	}
	t := new(Grants)
	if err := strictly(raw, t); err != nil {
		return nil, fmt.Errorf(`its answer has "topics" that are not as they have to be: %w`, err)
	}
	return t, nil
}

// tooEarly is a number that nobody means as milliseconds since 1970: 1973. Seconds of today are below it.
const tooEarly = 100_000_000_000

// readTime reads "expiresAt": text as RFC 3339 has it, or milliseconds since 1970; zero if there is none.
func readTime(raw []byte) (time.Time, error) {
	var text string
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return time.Time{}, nil
	case json.Unmarshal(raw, &text) == nil:
		if at, err := time.Parse(time.RFC3339, text); err == nil {
			return at, nil
		}
	default:
		if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil && n >= tooEarly {
			return time.UnixMilli(n), nil
		}
	}
	return time.Time{}, errors.New(`its answer has an "expiresAt" that is no time: want text as 2027-01-31T12:00:00Z, or milliseconds since 1970`)
}
