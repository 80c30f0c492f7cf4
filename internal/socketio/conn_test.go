package socketio_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/streamweir/weir/internal/socketio"
)

// client is a session whose door and sockets write down what they hear.
type client struct {
	socketio.Conn
	heard []string
	shut  bool // CONNECT is not decided until decide
}

const maxPacket = 1000

func newClient() *client { return new(client) }

// Connect implements socketio.Entrance: /no is refused, all else let in.
func (c *client) Connect(namespace string, auth []byte) {
	c.heard = append(c.heard, fmt.Sprintf("connect %s %s", namespace, auth))
	switch {
	case c.shut:
	case namespace == "/no":
		c.Leave(namespace)
	default:
		c.Accept(namespace, socket{c, namespace})
	}
}

// MaxPacket implements socketio.Entrance.
func (c *client) MaxPacket() int { return maxPacket }

type socket struct {
	c         *client
	namespace string
}

func (s socket) Event(e socketio.Incoming) {
	line := fmt.Sprintf("event %s %s %s", s.namespace, e.Name, e.Args)
	if e.HasID {
		line += fmt.Sprintf(" id %d", e.ID)
	}
	s.c.heard = append(s.c.heard, line+parts(e.Attachments))
}

func (s socket) Answered(id uint64, args []byte, attachments [][]byte) {
	s.c.heard = append(s.c.heard, fmt.Sprintf("answer %s %d %s", s.namespace, id, args)+parts(attachments))
}

func (s socket) Left() { s.c.heard = append(s.c.heard, "left "+s.namespace) }

func parts(attachments [][]byte) (line string) {
	for _, a := range attachments {
		line += fmt.Sprintf(" +%s", a)
	}
	return line
}

// binary marks a message of a script that is a binary one.
const binary = "b:"

// send plays a script and returns the first error and how many messages were
// taken before it.
func (c *client) send(script ...string) (taken int, err error) {
	for i, m := range script {
		data, isBinary := strings.CutPrefix(m, binary)
		if err := c.Message(c, []byte(data), isBinary); err != nil {
			return i, err
		}
	}
	return len(script), nil
}

const placeholder = `{"_placeholder":true,"num":0}`

func TestAcceptedPackets(t *testing.T) {
	for _, row := range []struct {
		name   string
		script []string
		want   []string
	}{
		{"connect", []string{"0"}, []string{"connect / "}},
		{"connect with auth", []string{`0/chat,{"token":"x"}`}, []string{`connect /chat {"token":"x"}`}},
		{"a comma may be missing at the end", []string{"0/chat"}, []string{"connect /chat "}},
		{"a query string is part of the name", []string{"0/?a=1,"}, []string{"connect /?a=1 "}},
		{"event", []string{"0", `2["foo",1]`}, []string{"connect / ", `event / foo ["foo",1]`}},
		{"event with id", []string{"0", `212["foo"]`}, []string{"connect / ", `event / foo ["foo"] id 12`}},
		{"id 0", []string{"0", `20["foo"]`}, []string{"connect / ", `event / foo ["foo"] id 0`}},
		{"numeric name", []string{"0", `2[1,2]`}, []string{"connect / ", `event / 1 [1,2]`}},
		{"error is not reserved", []string{"0", `2["error"]`}, []string{"connect / ", `event / error ["error"]`}},
		{"ack", []string{"0", `312[1,"2"]`}, []string{"connect / ", `answer / 12 [1,"2"]`}},
		{
			"binary event", []string{"0", `51-["foo",` + placeholder + `]`, "b:data"},
			[]string{"connect / ", `event / foo ["foo",` + placeholder + `] +data`},
		},
		{
			"two attachments in order", []string{"0", `52-["foo",{"_placeholder":true,"num":1},` + placeholder + `]`, "b:one", "b:two"},
			[]string{"connect / ", `event / foo ["foo",{"_placeholder":true,"num":1},` + placeholder + `] +one +two`},
		},
		{
			"binary ack", []string{"0", `61-12[` + placeholder + `]`, "b:"},
			[]string{"connect / ", "answer / 12 [" + placeholder + "] +"},
		},
		{"disconnect", []string{"0", "0/a", "1/a,"}, []string{"connect / ", "connect /a ", "left /a"}},
		{"come back", []string{"0", "1", "0", `2["x"]`}, []string{"connect / ", "left /", "connect / ", `event / x ["x"]`}},
		{"ask again after a refusal", []string{"0/no", "0/no"}, []string{"connect /no ", "connect /no "}},
		{
			"namespaces are apart", []string{"0/a", "0/b", `2/b,["x"]`, `2/a,["y"]`},
			[]string{"connect /a ", "connect /b ", `event /b x ["x"]`, `event /a y ["y"]`},
		},
	} {
		c := newClient()
		if n, err := c.send(row.script...); err != nil {
			t.Errorf("%s: %q: %v", row.name, row.script[n], err)
		}
		if !slices.Equal(c.heard, row.want) {
			t.Errorf("%s: heard\n%q, want\n%q", row.name, c.heard, row.want)
		}
		if c.Held() != 0 {
			t.Errorf("%s: %d bytes held between packets", row.name, c.Held())
		}
	}
}

// The rows of protocol.md 2.1, Rejections and State rules: the last message of
// each script, and no other, is a fault, and nobody hears of it.
func TestFaultsEndTheSession(t *testing.T) {
	header := `51-["foo",` + placeholder + `]`
	for name, script := range map[string][]string{
		"empty":                                      {"0", ""},
		"unknown type":                               {"0", "7"},
		"not a digit":                                {"0", "x"},
		"no attachment count":                        {"0", `5["foo"]`},
		"attachment count without a dash":            {"0", `51["foo"]`},
		"attachment count is not a number":           {"0", `5x-["foo"]`},
		"no attachments":                             {"0", `50-["foo"]`},
		"too many attachments":                       {"0", `511-["foo"]`},
		"invalid JSON":                               {"0", `2["foo"`},
		"text behind the JSON":                       {"0", `2["foo"]x`},
		"connect with an array":                      {`0[1]`},
		"connect with a string":                      {`0"abc"`},
		"connect with null":                          {"0null"},
		"event without a payload":                    {"0", "2"},
		"event is an object":                         {"0", "2{}"},
		"event without a name":                       {"0", "2[]"},
		"event named by null":                        {"0", "2[null]"},
		"event named by an object":                   {"0", "2[{}]"},
		"reserved: connect":                          {"0", `2["connect"]`},
		"reserved: connect_error":                    {"0", `2["connect_error"]`},
		"reserved: disconnect":                       {"0", `2["disconnect"]`},
		"reserved: disconnecting":                    {"0", `2["disconnecting"]`},
		"reserved: newListener":                      {"0", `2["newListener"]`},
		"reserved: removeListener":                   {"0", `2["removeListener"]`},
		"reserved, escaped":                          {"0", `2["\u0063onnect"]`},
		"reserved, binary":                           {"0", `51-["connect",` + placeholder + `]`},
		"ack is an object":                           {"0", "31{}"},
		"disconnect with a payload":                  {"0", "1{}"},
		"placeholder out of range":                   {"0", `51-["foo",{"_placeholder":true,"num":1}]`},
		"placeholder below range":                    {"0", `51-["foo",{"_placeholder":true,"num":-1}]`},
		"event while attachments are missing":        {"0", header, `2["foo"]`},
		"disconnect while attachments are missing":   {"0", header, "1"},
		"connect while attachments are missing":      {"0", header, "0/a"},
		"binary without a header":                    {"0", "b:data"},
		"binary behind the last attachment":          {"0", header, "b:1", "b:2"},
		"connect twice":                              {"0", "0"},
		"event before connect":                       {`2["foo"]`},
		"event of another namespace":                 {"0", `2/a,["foo"]`},
		"event after disconnect":                     {"0", "1", `2["foo"]`},
		"ack of another namespace":                   {"0", "3/a,1[]"},
		"binary event of another namespace":          {"0", `51-/a,["foo",` + placeholder + `]`},
		"disconnect of another namespace":            {"0", "1/a,"},
		"event of a namespace refused":               {"0/no", `2/no,["foo"]`},
		"connect error":                              {"0", `4{"message":"no"}`},
		"connect error of another namespace":         {"0", `4/a,{"message":"no"}`},
		"attachments larger than a packet may be":    {"0", header, binary + strings.Repeat("x", maxPacket)},
		"header larger than a packet may be":         {"0", `51-["` + strings.Repeat("x", maxPacket) + `",` + placeholder + `]`},
		"attachments together larger than permitted": {"0", `52-["foo",` + placeholder + `,{"_placeholder":true,"num":1}]`, binary + strings.Repeat("x", maxPacket/2), binary + strings.Repeat("x", maxPacket/2)},
	} {
		c := newClient()
		taken, err := c.send(script...)
		if err == nil {
			t.Errorf("%s: %q was taken", name, script)
			continue
		}
		if taken != len(script)-1 {
			t.Errorf("%s: message %d, %q, is a fault already: %v", name, taken, script[taken], err)
		}
		if last := len(c.heard) - 1; last >= 0 && strings.HasPrefix(c.heard[last], "event / foo") && name != "binary behind the last attachment" {
			t.Errorf("%s: heard %q", name, c.heard)
		}
	}
}

func TestUndecidedNamespacesTakeNothingYet(t *testing.T) {
	for name, m := range map[string]string{
		"event": `2["foo"]`, "ack": "31[]", "disconnect": "1", "connect again": "0", "binary": `51-["foo",` + placeholder + `]`,
	} {
		c := newClient()
		c.shut = true
		if taken, err := c.send("0", m); err == nil || taken != 1 {
			t.Errorf("%s before the decision: %v after %d", name, err, taken)
		}
	}
}

func TestUndecidedNamespacesAreBounded(t *testing.T) {
	c := newClient()
	c.shut = true
	n := 0
	for ; n < 10_000; n++ {
		if _, err := c.send(fmt.Sprint("0/", n)); err != nil {
			break
		}
	}
	if n < 2 || n > 1000 {
		t.Errorf("%d undecided requests were taken", n)
	}
	for i := range n {
		c.Leave(fmt.Sprint("/", i))
	}
	if _, err := c.send("0/again"); err != nil {
		t.Errorf("after all were decided: %v", err)
	}
}

// Whichever of its namespaces a client leaves, it stays in the others and may come back.
func TestLeavingOneNamespaceLeavesTheOthers(t *testing.T) {
	names := []string{"/a", "/b", "/c", "/d"}
	for _, gone := range names {
		c := newClient()
		for _, name := range names {
			if _, err := c.send("0" + name); err != nil {
				t.Fatal(err)
			}
		}
		c.Leave(gone)
		for _, name := range names {
			_, err := c.send("2" + name + `,["x"]`)
			if (err == nil) != (name != gone) {
				t.Errorf("left %s: event to %s: %v", gone, name, err)
			}
		}
		if _, err := c.send("0"+gone, "2"+gone+`,["back"]`); err != nil {
			t.Errorf("back in %s: %v", gone, err)
		}
		for _, name := range names {
			if _, err := c.send("1" + name); err != nil {
				t.Errorf("leaving %s at last: %v", name, err)
			}
		}
		if _, err := c.send("2" + gone + `,["x"]`); err == nil {
			t.Errorf("event to %s after all were left", gone)
		}
	}
}

// What an idle connection costs here: nothing but the Conn, which is part of its
// client, while it is in one namespace.
func TestIdleConnIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(socketio.Conn{}); size > 40 {
		t.Errorf("a Conn takes %d bytes, want at most 40", size)
	}
}

func TestAcceptIsForRequestsThatWait(t *testing.T) {
	c := newClient()
	c.shut = true
	s := socket{c, "/a"}
	if c.Accept("/a", s) {
		t.Error("accepted without a request")
	}
	if _, err := c.send("0/a"); err != nil {
		t.Fatal(err)
	}
	if !c.Accept("/a", s) || c.Accept("/a", s) {
		t.Error("one request is accepted once")
	}
	c.Leave("/a")
	if c.Leave("/a"); c.Accept("/a", s) {
		t.Error("accepted after it was gone")
	}
}

// A namespace the server ends while attachments are arriving: they are the
// client's to finish, and nobody's to hear.
func TestAttachmentsOfANamespaceThatIsGoneAreForgotten(t *testing.T) {
	c := newClient()
	if _, err := c.send("0/a", `51-/a,["foo",`+placeholder+`]`); err != nil {
		t.Fatal(err)
	}
	c.Leave("/a")
	if _, err := c.send("b:data", "0/a", `2/a,["bar"]`); err != nil {
		t.Fatal(err)
	}
	want := []string{"connect /a ", "connect /a ", `event /a bar ["bar"]`}
	if !slices.Equal(c.heard, want) || c.Held() != 0 {
		t.Errorf("heard %q, holds %d", c.heard, c.Held())
	}
}

// But for the arguments of events and answers, what arrived is the receiver's: the transport may use its buffer again.
func TestWhatIsKeptDoesNotShareTheTransportsBuffer(t *testing.T) {
	k := new(keeper)
	for _, m := range []string{`0{"a":1}`, `51-["foo",` + placeholder + `]`, "b:data"} {
		data, isBinary := strings.CutPrefix(m, binary)
		buffer := []byte(data)
		if err := k.conn.Message(k, buffer, isBinary); err != nil {
			t.Fatal(err)
		}
		for i := range buffer {
			buffer[i] = '#'
		}
	}
	for _, b := range k.kept {
		if strings.Contains(string(b), "#") {
			t.Errorf("kept %q", b)
		}
	}
	if len(k.kept) != 3 || k.bytes != len(`["foo",`+placeholder+`]`)+len("data") {
		t.Errorf("kept %d pieces, events of %d bytes", len(k.kept), k.bytes)
	}
}

// keeper keeps what it is given.
type keeper struct {
	conn  socketio.Conn
	kept  [][]byte
	bytes int
}

func (k *keeper) Connect(namespace string, auth []byte) {
	k.kept = append(k.kept, auth)
	k.conn.Accept(namespace, k)
}

func (k *keeper) MaxPacket() int { return maxPacket }

func (k *keeper) Event(e socketio.Incoming) {
	k.kept = append(append(k.kept, e.Args), e.Attachments...)
	k.bytes += e.Bytes()
}

func (k *keeper) Answered(_ uint64, args []byte, _ [][]byte) { k.kept = append(k.kept, args) }
func (k *keeper) Left()                                      {}
