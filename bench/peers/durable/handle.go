package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spate-io/spate/bench/internal/work"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/stream"
)

// handle has a typed handler read one stream and publish on another, from an
// idle node until the last step is committed. Then it looks at the
// result: every event must be there once.
func handle(f *work.Flags) (err error) {
	n, err := open(f, "in", "out")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	if err := n.fill(f, func(i int) *event.Event { return input(f, i) }); err != nil {
		return err
	}
	host := bus.NewNode(bus.NodeOptions{Bus: n.bus})
	if err := addHandler(f, host); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	before := n.store.Stats()
	m, err := f.Start()
	if err != nil {
		return err
	}
	go func() { ended <- host.Run(ctx) }()
	for m.Events < uint64(f.Events) {
		select {
		case err := <-ended:
			return fmt.Errorf("the node ended with %d of %d events: %w", m.Events, f.Events, err)
		case <-time.After(2 * time.Millisecond):
		}
		info, err := n.log.Info(ctx, "out")
		if err != nil {
			return err
		}
		m.Events = info.Events
	}
	if err := m.Stop(); err != nil {
		return err
	}
	m.Groups = n.store.Stats().Groups - before.Groups
	cancel()
	if err := errors.Join(<-ended, verify(f, n)); err != nil {
		return err
	}
	return m.Print()
}

// input is an event of the stream that is handled. It begins with its number,
// or has it in JSON.
func input(f *work.Flags, i int) *event.Event {
	r := f.NewReading(i)
	var data []byte
	if f.Codec == "json" {
		data, _ = json.Marshal(r) // has nothing that could fail
	} else {
		data = f.Data()
		binary.BigEndian.PutUint64(data, uint64(i))
	}
	return &event.Event{Subject: "in/" + r.Sensor, Data: data}
}

// addHandler adds the handler, as an application would write it.
func addHandler(f *work.Flags, host bus.Host) error {
	if f.Codec == "json" {
		in, out := bus.NewTopic[work.Reading]("in/+"), bus.NewTopic[work.Reading]("out/+")
		return bus.Handle(host, in, "double", func(ctx context.Context, r work.Reading) error {
			r.Value *= 2
			return bus.Publish(ctx, out, r)
		})
	}
	in, out := bus.NewTopic[[]byte]("in/+"), bus.NewTopic[[]byte]("out/+")
	return bus.Handle(host, in, "copy", func(ctx context.Context, data []byte) error { return bus.Publish(ctx, out, data) })
}

// verify looks for events that came out more or less than once.
func verify(f *work.Flags, n *node) error {
	ctx := context.Background()
	r, err := n.log.NewReader(ctx, "out", "", stream.Beginning)
	if err != nil {
		return err
	}
	seen, count := make([]bool, f.Events), 0
	for {
		records, _, err := r.Read(ctx)
		if err != nil {
			return err
		}
		if len(records) == 0 {
			break
		}
		for i := range records {
			number, err := numberOf(f, records[i].Event.Data)
			if err != nil {
				return err
			}
			if number >= f.Events || seen[number] {
				return fmt.Errorf("event %d came out twice, or was never put in", number)
			}
			seen[number] = true
			count++
		}
	}
	if count != f.Events {
		return fmt.Errorf("%d of %d events came out", count, f.Events)
	}
	return nil
}

func numberOf(f *work.Flags, data []byte) (int, error) {
	if f.Codec == "json" {
		var r work.Reading
		err := json.Unmarshal(data, &r)
		return r.Number, err
	}
	if len(data) < 8 {
		return 0, errors.New("an event is too short for its number")
	}
	return int(binary.BigEndian.Uint64(data)), nil
}
