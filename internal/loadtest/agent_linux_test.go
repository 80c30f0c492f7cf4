package loadtest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/loadtest"
	"github.com/streamweir/weir/internal/loadtest/swarm"
)

func TestAnAgentAnswersEachRequestAndEndsWithItsInput(t *testing.T) {
	t.Parallel()
	s := serve(t, faults{})
	in, write := io.Pipe()
	read, out := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- loadtest.RunAgent(in, out); _ = out.Close() }()
	answers := json.NewDecoder(read)
	ask := func(line string) (answer struct {
		Done     bool
		Error    string
		Snapshot []swarm.Snapshot
	}) {
		t.Helper()
		if _, err := io.WriteString(write, line+"\n"); err != nil {
			t.Fatal(err)
		}
		if err := answers.Decode(&answer); err != nil || !answer.Done {
			t.Fatalf("%s is answered %+v (%v)", line, answer, err)
		}
		return answer
	}
	if a := ask(fmt.Sprintf(`{"spec":{"url":%q}}`, s.url)); a.Error != "" {
		t.Fatal(a.Error)
	}
	if a := ask(`{"order":{"add":{"name":"g","clients":3}}}`); a.Error != "" {
		t.Fatal(a.Error)
	}
	if a := ask(`{"order":{"add":{"name":"none","clients":0}}}`); a.Error == "" {
		t.Error("a group of nobody is taken")
	}
	if a := ask(`{}`); a.Error == "" {
		t.Error("a request for nothing is taken")
	}
	for ready := 0; ready < 3; {
		for _, s := range ask(`{"snapshot":true}`).Snapshot {
			ready = s.Ready
		}
	}
	_ = write.Close()
	if err := <-ended; err != nil {
		t.Errorf("the agent ended with %v", err)
	}
}

func TestAnAgentWithoutASpecFails(t *testing.T) {
	for _, in := range []string{"", "{}\n", "nonsense\n", `{"spec":{"url":"ftp://x"}}` + "\n"} {
		var out bytes.Buffer
		if err := loadtest.RunAgent(strings.NewReader(in), &out); err == nil {
			t.Errorf("%q is taken", in)
		}
	}
}
