package bus_test

import (
	"context"
	"fmt"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/event"
)

func ExampleBus_NewQueue() {
	b := bus.New(bus.Options{})
	q, err := b.NewQueue("sensors/+/temperature", bus.QueueOptions{Events: 100, Overflow: bus.DropOldest})
	if err != nil {
		panic(err)
	}
	receivers, _ := b.PublishLive(&event.Event{Subject: "sensors/hall/temperature", Data: []byte("21.5")})
	fmt.Println(receivers, "receiver")
	q.Close()

	for e, err := range q.All(context.Background()) {
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Printf("%s %s\n", e.Subject, e.Data)
	}
	// Output:
	// 1 receiver
	// sensors/hall/temperature 21.5
	// no more events from the queue: it was closed
}

// connection is what a protocol has: a buffer of its own, and messages in the protocol's form.
type connection struct{ out []byte }

// line is the form, declared once; a thousand connections append the same bytes.
var line = &bus.Format{Encode: func(dst []byte, m *bus.Message) []byte {
	return fmt.Appendf(dst, "%s=%s\n", m.Subject(), m.Data())
}}

func (c *connection) Deliver(m *bus.Message) bool {
	const most = 1 << 20
	frame := m.Frame(line)
	if len(c.out)+len(frame) > most {
		return false // counted as dropped
	}
	c.out = append(c.out, frame...)
	return true
}

func ExampleClient() {
	b := bus.New(bus.Options{})
	var conn connection
	client := b.NewClient(&conn)
	defer client.Close()
	if _, err := client.Subscribe("news/#"); err != nil {
		panic(err)
	}
	if _, err := client.SubscribeGlob("n?ws/s*"); err != nil {
		panic(err)
	}
	n, _ := b.PublishBytes([]byte("news/sport"), []byte("2:1"))
	fmt.Printf("%d\n%s", n, conn.out)
	// Output:
	// 2
	// news/sport=2:1
	// news/sport=2:1
}
