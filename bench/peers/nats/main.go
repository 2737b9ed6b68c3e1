// Command nats publishes into an embedded NATS server, which acknowledges an
// event once it is on disk: sync_interval is always.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/spate-io/spate/bench/internal/work"
)

func main() {
	work.ParseFlags().Main(map[string]func(*work.Flags) error{"publish": publish, "atomic": publish})
}

// timeout bounds the start, and a publish that is never acknowledged.
const timeout = 30 * time.Second

func publish(f *work.Flags) (err error) {
	ns, err := server.NewServer(&server.Options{
		DontListen: true, JetStream: true, StoreDir: f.Dir, SyncAlways: true, NoSigs: true, NoLog: true,
	})
	if err != nil {
		return err
	}
	ns.Start()
	defer ns.WaitForShutdown()
	defer ns.Shutdown()
	if !ns.ReadyForConnections(timeout) {
		return fmt.Errorf("the NATS server was not ready within %v", timeout)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	js, done, err := connect(ns)
	if err != nil {
		return err
	}
	defer done()
	stream := jetstream.StreamConfig{
		Name: "bench", Subjects: []string{"sensors.>"}, Storage: jetstream.FileStorage, AllowAtomicPublish: f.Work == "atomic",
	}
	if _, err := js.CreateStream(ctx, stream); err != nil {
		return err
	}
	var problems []error
	m, err := f.Publish(func(number int) func() error {
		js, _, err := connect(ns)
		problems = append(problems, err)
		return publisher(f, js, number)
	})
	if err := errors.Join(append(problems, err)...); err != nil {
		return err
	}
	return m.Print()
}

// connect makes a connection within the process. Each publisher has its own,
// as clients would.
func connect(ns *server.Server) (jetstream.JetStream, func(), error) {
	c, err := nats.Connect("", nats.InProcessServer(ns))
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(c, jetstream.WithPublishAsyncMaxPending(1<<16))
	return js, c.Close, err
}

// publisher publishes one event and waits, or a batch at once and waits for
// all of it.
func publisher(f *work.Flags, js jetstream.JetStream, number int) func() error {
	next := number
	subject := func() string {
		next++
		return f.Subject(next, ".")
	}
	if f.Batch == 1 {
		return func() error {
			ctx, cancel := context.WithTimeout(context.Background(), timeout)
			defer cancel()
			_, err := js.Publish(ctx, subject(), f.Data())
			return err
		}
	}
	if f.Work == "atomic" {
		return func() error { return atomically(f, js.Conn(), subject) }
	}
	acks := make([]jetstream.PubAckFuture, f.Batch)
	return func() (err error) {
		for i := range acks {
			if acks[i], err = js.PublishAsync(subject(), f.Data()); err != nil {
				return err
			}
		}
		for _, ack := range acks {
			select {
			case <-ack.Ok():
			case err := <-ack.Err():
				return err
			}
		}
		return nil
	}
}

// atomically publishes a batch that the server stores wholly or not at all,
// and acknowledges once.
func atomically(f *work.Flags, c *nats.Conn, subject func() string) error {
	id := nats.NewInbox()[len(nats.InboxPrefix):]
	for i := 1; ; i++ {
		m := &nats.Msg{Subject: subject(), Data: f.Data(), Header: nats.Header{
			"Nats-Batch-Id": {id}, "Nats-Batch-Sequence": {strconv.Itoa(i)},
		}}
		if i < f.Batch {
			if err := c.PublishMsg(m); err != nil {
				return err
			}
			continue
		}
		m.Header.Set("Nats-Batch-Commit", "1")
		reply, err := c.RequestMsg(m, timeout)
		if err != nil {
			return err
		}
		var ack struct {
			Error any `json:"error"`
			Count int `json:"count"`
		}
		if err := json.Unmarshal(reply.Data, &ack); err != nil || ack.Error != nil || ack.Count != f.Batch {
			return fmt.Errorf("a batch of %d events was answered with %q", f.Batch, reply.Data)
		}
		return nil
	}
}
