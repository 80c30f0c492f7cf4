// Command app is an application on Weir as the row events-1000 measures it: a typed handler decodes each event on a
// worker and what it returns answers the ack. It logs as the rig reads it: a JSON object a line on stderr, "listening",
// then "ready".
package main

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/streamweir/weir"
)

// event is what the clients of `weir bench events` send.
type event struct {
	N   int64  `json:"n"`
	T   int64  `json:"t"`
	Pad string `json:"pad"`
}

// answer is what they get.
type answer struct {
	OK bool  `json:"ok"`
	N  int64 `json:"n"`
}

var errNegative = errors.New("n is negative")

func main() {
	driver := flag.String("driver", "auto", "how connections are held: auto, epoll, goroutine")
	flag.Parse()
	if *driver == "auto" {
		*driver = string(weir.DriverAuto)
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := serve(ctx, log, weir.Driver(*driver))
	stop()
	if err != nil {
		log.Error(err.Error())
		os.Exit(1)
	}
}

// serve runs as the binary does: an event loop for each CPU, a thread besides them, and workers that yield (architecture.md D8).
func serve(ctx context.Context, log *slog.Logger, driver weir.Driver) error {
	shards := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(shards + 1)
	srv, err := weir.New(weir.Options{
		Servers: []weir.ServerOptions{{
			Name: "bench", Addr: "127.0.0.1:0", Driver: driver, Namespaces: []weir.NamespaceOptions{{Path: "/feed"}},
		}},
		Shards: shards, Workers: weir.WorkerOptions{Nice: 10}, Logger: log,
		Drain: weir.DrainOptions{ClientsPerSecond: 100_000, Timeout: time.Second},
	})
	if err != nil {
		return err
	}
	weir.Handle(srv.Namespace("/feed"), "event", take)
	if err := srv.Listen(); err != nil {
		return err
	}
	log.Info("listening", "server", "bench", "address", srv.Addr("bench").String())
	log.Info("ready")
	return srv.Run(ctx)
}

// take is the handler: what it is asked for is in the payload, so that it has to be decoded.
func take(_ context.Context, _ *weir.Socket, e event) (answer, error) {
	if e.N < 0 {
		return answer{}, errNegative
	}
	return answer{OK: true, N: e.N}, nil
}
