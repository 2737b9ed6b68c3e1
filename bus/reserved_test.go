package bus_test

import (
	"errors"
	"testing"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/stream"
)

// Nobody but the server publishes on its subjects, by any way; what devices and applications say to it is theirs.
func TestReserved(t *testing.T) {
	b, _ := keeping(t, stream.Config{})
	for subject, reserved := range map[string]bool{
		"$dead/x": true, "$redrive/x": true, "$mqtt": true, "$inbox/fan/tick": true, "$deader": false, "devices/fan/presence": false, "a": false,
		"$devices": true, "$devices/fan": true, "$devices/fan/presence": true, "$devices/fan/absent": true, "$devices/fan/state": true,
		"$devices/fan/state/delta": true, "$devices/fan/state/update/accepted": true, "$devices/fan/state/documents": true,
		"$devices/fan/state/reported": false, "$devices/fan/state/desired": false, "$devices/fan/state/update": false, "$devices/fan/state/get": false,
		"$devices/fan/commands/1/request/on": true, "$devices/fan/commands/1/status": true, "$devices/fan/commands/1": true,
		"$devices/fan/commands/1/response": false, "$devices/fan/commands/1/error": false, "$devices/fan/commands/1/x/response": true,
		"$devices//state/reported": false,
		"$SYS/broker/uptime":       true, "$SYS": true, "$SYSTEM/a": false, "$spate/dropped": true, "$spate": true, "$spates": false,
	} {
		if bus.Reserved(subject) != reserved {
			t.Errorf("%q: reserved is %t", subject, !reserved)
		}
		with := make(chan error, 1)
		b.SubmitWith(&store.Batch{Puts: []store.Put{{Key: "k"}}}, []*event.Event{{Subject: subject}}, func(_ bus.Receipt, err error) { with <- err })
		_, published := b.Publish(t.Context(), &event.Event{Subject: subject})
		_, live := b.PublishLive(&event.Event{Subject: subject})
		_, bytes := b.PublishBytes([]byte(subject), nil)
		_, from := b.PublishFrom("a door", &event.Event{Subject: subject})
		for i, err := range []error{<-with, published, live, bytes, from} {
			if errors.Is(err, bus.ErrReserved) != reserved {
				t.Errorf("%q, way %d: %v", subject, i, err)
			}
		}
		own := make(chan error, 1)
		b.SubmitReserved(&store.Batch{Puts: []store.Put{{Key: "k"}}}, []*event.Event{{Subject: subject}}, func(_ bus.Receipt, err error) { own <- err })
		_, ownLive := b.PublishReserved(nil, &event.Event{Subject: subject})
		if err := errors.Join(<-own, ownLive); err != nil {
			t.Errorf("%q, by the server: %v", subject, err)
		}
	}
}
