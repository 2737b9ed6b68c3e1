package crash

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/protocol/mqtt"
	"github.com/spate-io/spate/protocol/resp"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/store/pebblestore"
	"github.com/spate-io/spate/stream"
	"go.uber.org/goleak"
)

var kills = flag.Int("kills", 8, "how often each test kills the server, or cuts its power")

// childData names the directory of the server that this binary is to be, instead of a test.
const childData = "SPATE_CRASH_DATA"

// Where it listens, in that directory.
const (
	respSocket = "r"
	mqttSocket = "m"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childData); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// child is the server that is killed.
func child(dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	app, err := newApp(spate.Options{Data: filepath.Join(dir, "data"), Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return err
	}
	for _, url := range []string{"resp+unix://" + filepath.Join(dir, respSocket), "mqtt+unix://" + filepath.Join(dir, mqttSocket)} {
		if _, err := app.Listen(url); err != nil {
			return errors.Join(err, app.Close())
		}
	}
	return app.Run(ctx)
}

// newApp makes an app whose consumer gives each event of the stream "in" a number, and passes it on to the stream "out".
func newApp(o spate.Options) (*spate.App, error) {
	var app *spate.App
	o.Limits = engine.Limits{LingerTimeout: 10 * time.Millisecond}
	o.MQTT = mqtt.Config{Limits: mqtt.Limits{Queue: 1 << 20, ConnectRate: 1 << 20}, WillGrace: 200 * time.Millisecond}
	o.Streams = []stream.Config{
		{Name: "in", Subjects: []string{"in/#"}, Partitions: 4},
		{Name: "out", Subjects: []string{"out/#"}, Partitions: 3},
	}
	o.Commands = []resp.Command{{Name: "PUT", Arity: 3, Run: func(ctx context.Context, r *resp.Request) error {
		_, err := app.Bus().Publish(ctx, &event.Event{Subject: r.Text(1), Data: []byte(r.Text(2))})
		return err
	}}}
	app = spate.New(o)
	if app.Consumers() == nil {
		return nil, errors.Join(app.Run(context.Background()), app.Close())
	}
	err := app.Consumers().Handle(consumer.Config{Name: "number", Stream: "in"}, number)
	if err != nil {
		return nil, errors.Join(err, app.Close())
	}
	return app, nil
}

// number counts the events of each key in the state, and publishes them with their number.
func number(ctx context.Context, d *consumer.Delivery) error {
	data, err := d.Get(ctx, "count")
	if err != nil {
		return err
	}
	n, _ := strconv.Atoi(string(data)) // nothing is 0
	if err := d.Put("count", []byte(strconv.Itoa(n+1))); err != nil {
		return err
	}
	return d.Publish(&event.Event{Subject: "out" + d.Event.Subject[len("in"):], Data: fmt.Appendf(nil, "%s #%d", d.Event.Data, n)})
}

// ledger is what clients have published, and what of it was acknowledged.
type ledger struct {
	mu    sync.Mutex
	next  map[string]int
	acked map[string][]int
}

func newLedger() *ledger { return &ledger{next: map[string]int{}, acked: map[string][]int{}} }

// take returns the next number of a key. No number is used twice, whether it was acknowledged or not.
func (l *ledger) take(key string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next[key]++
	return l.next[key]
}

func (l *ledger) acknowledged(key string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked[key] = append(l.acked[key], n)
}

func (l *ledger) count() (n int) {
	for _, acked := range l.acked {
		n += len(acked)
	}
	return n
}

// check compares what a store holds with what was acknowledged, after the consumer has caught up.
func (l *ledger) check(t *testing.T, s store.Store) {
	t.Helper()
	log, err := stream.Open(t.Context(), s, stream.Options{})
	if err != nil {
		t.Fatal(err)
	}
	in, out := readAll(t, log, "in"), readAll(t, log, "out")
	for key, acked := range l.acked {
		got := in["in/"+key]
		last, at := 0, 0
		for i, text := range got {
			n, err := strconv.Atoi(text)
			if err != nil || n <= last {
				t.Fatalf("key %s: %q came after %d", key, text, last)
			}
			last = n
			if at < len(acked) && acked[at] == n {
				at++
			}
			if want := fmt.Sprintf("%s #%d", text, i); i >= len(out["out/"+key]) || out["out/"+key][i] != want {
				t.Fatalf("key %s: event %d was handled %d times or wrongly: want %q", key, i, len(out["out/"+key]), want)
			}
		}
		if at < len(acked) {
			t.Errorf("key %s: event %d was acknowledged and is lost", key, acked[at])
		}
		if len(out["out/"+key]) != len(got) {
			t.Errorf("key %s: %d events came out of %d", key, len(out["out/"+key]), len(got))
		}
	}
	t.Logf("%d events were acknowledged, over %d keys", l.count(), len(l.acked))
}

func readAll(t *testing.T, log *stream.Log, name string) map[string][]string {
	t.Helper()
	r, err := log.NewReader(t.Context(), name, "", stream.Beginning)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for {
		records, _, err := r.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(records) == 0 {
			return all
		}
		for _, rec := range records {
			all[rec.Event.Subject] = append(all[rec.Event.Subject], string(rec.Event.Data))
		}
	}
}

// publish publishes events of a few keys one after the other, until the server is gone.
func (l *ledger) publish(socket string, client int) {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	r := bufio.NewReader(c)
	for i := 0; ; i++ {
		key := fmt.Sprintf("%d-%d", client, i%3)
		n := l.take(key)
		if _, err := fmt.Fprintf(c, "PUT in/%s %d\r\n", key, n); err != nil {
			return
		}
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		if line == "+OK\r\n" {
			l.acknowledged(key, n)
		}
	}
}

// openData opens the store of the child, after it has ended.
func openData(t *testing.T, dir string) *pebblestore.Store {
	t.Helper()
	s, err := pebblestore.Open(filepath.Join(dir, "data", "store"), pebblestore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// caughtUp waits until the consumer of an app has handled everything.
func caughtUp(t *testing.T, app *spate.App) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; <-time.After(2 * time.Millisecond) {
		info, err := app.Consumers().Info(t.Context(), "number")
		if err == nil && info.Lag == 0 && len(info.Partitions) > 0 && info.Running {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the consumer did not catch up: %+v, %v", info, err)
		}
	}
}
