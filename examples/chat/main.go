// Command chat is a small chat server: rooms, typed handlers whose results
// answer the client's acknowledgement, and a question the server asks all
// members of a room.
//
//	go run ./examples/chat
//
// Clients use socket.io-client unchanged:
//
//	const chat = io("http://127.0.0.1:3000/chat", { auth: { name: "ann" } });
//	await chat.emitWithAck("join", { room: "go" });             // {members: 1}
//	chat.on("said", ({ room, from, text }) => …);
//	chat.emit("say", { room: "go", text: "hello" });
//	chat.on("vote", (question, answer) => answer(true));
//	await chat.emitWithAck("call vote", { room: "go", question: "lunch?" });   // {yes: 1, no: 0, silent: 0}
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log"
	"os/signal"
	"syscall"
	"time"

	"github.com/streamweir/weir"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:3000", "where to listen")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, *addr)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// run serves at addr until ctx ends.
func run(ctx context.Context, addr string) error {
	srv, err := weir.New(weir.Options{Addr: addr})
	if err != nil {
		return err
	}
	chat(srv)
	log.Printf("clients: http://%s/chat", addr)
	return srv.Run(ctx)
}

// chat declares the chat and what it does.
func chat(srv *weir.Server) {
	ns := srv.Namespace("/chat")
	ns.Use(named)
	weir.Handle(ns, "join", join)
	weir.Handle(ns, "say", say)
	weir.Handle(ns, "call vote", callVote)
}

type nameKey struct{}

// named lets in who says a name. What it returns is the client's connect_error.
func named(_ context.Context, s *weir.Socket) error {
	var auth struct{ Name string }
	if json.Unmarshal(s.Handshake().Auth, &auth) != nil || auth.Name == "" {
		return &weir.ConnectError{Message: "say who you are", Data: map[string]string{"missing": "auth.name"}}
	}
	s.Set(nameKey{}, auth.Name)
	return nil
}

type membership struct {
	Members int `json:"members"`
}

func join(ctx context.Context, s *weir.Socket, in struct{ Room string }) (membership, error) {
	if in.Room == "" {
		return membership{}, weir.Errorf(weir.ErrInvalid, "room: missing")
	}
	if err := s.Join(ctx, in.Room); err != nil {
		return membership{}, err
	}
	all, err := s.Namespace().To(in.Room).Sockets(ctx)
	return membership{len(all)}, err
}

type line struct {
	Room string `json:"room"`
	From any    `json:"from"`
	Text string `json:"text"`
}

func say(ctx context.Context, s *weir.Socket, in struct{ Room, Text string }) (struct{}, error) {
	return struct{}{}, s.To(in.Room).Emit(ctx, "said", line{in.Room, s.Value(nameKey{}), in.Text})
}

// voteFor is how long members have to answer.
const voteFor = 5 * time.Second

type tally struct {
	Yes    int `json:"yes"`
	No     int `json:"no"`
	Silent int `json:"silent"`
}

// callVote asks the whole room, the caller included. A handler may wait: it runs
// on a worker of its own, and holds up only later events of the same client.
func callVote(ctx context.Context, s *weir.Socket, in struct{ Room, Question string }) (tally, error) {
	ctx, cancel := context.WithTimeout(ctx, voteFor)
	defer cancel()
	room := s.Namespace().To(in.Room)
	asked, err := room.Sockets(ctx)
	if err != nil {
		return tally{}, err
	}
	replies, err := room.Ask(ctx, "vote", in.Question)
	if err != nil && !errors.Is(err, weir.ErrTimeout) { // after a time-out the answers that came count
		return tally{}, err
	}
	t := tally{Silent: len(asked)}
	for _, r := range replies {
		var yes bool
		if r.Err != nil || r.Args.Decode(&yes) != nil {
			continue
		}
		t.Silent--
		if yes {
			t.Yes++
		} else {
			t.No++
		}
	}
	return t, nil
}
