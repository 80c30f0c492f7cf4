// Command hook is a backend that decides for "weir serve" who comes in. It stands for an application in any language: nothing here
// needs Weir, or Go.
//
//	export HOOK_SECRET="$(openssl rand -base64 32)"
//	go run ./examples/hook -listen 127.0.0.1:8080 &
//	go run ./cmd/weir serve --config examples/hook/weir.yaml
//
// Then a Socket.IO client whose cookie is session=alice-1 comes in, and one without a session is told to sign in.
package main

import (
	"encoding/base64"
	"encoding/json"
	"flag"
	"io"
	"log"
	"net/http"
	"os"
	"time"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address")
	flag.Parse()
	secret, err := base64.StdEncoding.DecodeString(os.Getenv("HOOK_SECRET"))
	if err != nil || len(secret) < 32 {
		log.Fatal("HOOK_SECRET: want 32 bytes or more as base64: openssl rand -base64 32")
	}
	server := http.Server{Addr: *listen, Handler: newBackend(secret), ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}

// sessions are who is signed in, which an application has in its database.
var sessions = map[string]string{"alice-1": "alice", "bob-1": "bob"}

// newBackend answers POST /weir/connect of who knows one of the secrets.
func newBackend(secrets ...[]byte) http.Handler {
	v := &verifier{secrets: secrets, window: window}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /weir/connect", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := v.verify(r.Header, body, time.Now()); err != nil {
			log.Print("refused a request that claims to be Weir's: ", err)
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		var q question
		if err := json.Unmarshal(body, &q); err != nil || q.Hook != "connect" {
			http.Error(w, "not a question about a client", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(decide(&q)); err != nil {
			log.Print(err)
		}
	})
	return mux
}

// question is what this backend looks at of what it is told.
type question struct {
	Hook      string            `json:"hook"`
	Namespace string            `json:"namespace"`
	Cookies   map[string]string `json:"cookies"`
}

// answer is what Weir is told.
type answer struct {
	Allow     bool                `json:"allow"`
	Principal string              `json:"principal,omitempty"`
	Rooms     []string            `json:"rooms,omitempty"`
	Topics    map[string][]string `json:"topics,omitempty"`
	ExpiresAt *time.Time          `json:"expiresAt,omitempty"`
	Message   string              `json:"message,omitempty"`
	Code      string              `json:"code,omitempty"`
}

func decide(q *question) answer {
	user := sessions[q.Cookies["session"]]
	if user == "" {
		return answer{Message: "sign in first", Code: "unauthorized"}
	}
	until := time.Now().Add(time.Hour)
	return answer{
		Allow: true, Principal: user, Rooms: []string{"user:" + user}, ExpiresAt: &until,
		Topics: map[string][]string{"sub": {"prices*", user + ":*"}},
	}
}
