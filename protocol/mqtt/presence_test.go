package mqtt_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/spate-io/spate/device"
	"github.com/spate-io/spate/protocol/mqtt/packet"
	"github.com/spate-io/spate/store"
)

// A client that takes over its session was never away. One that takes it and is refused has cut off the other, which is away then.
func TestPresenceAtTakeover(t *testing.T) {
	t.Parallel()
	b := newBroker(t, settings{})
	watcher := b.connect(t, packet.V5, "watcher").sub(1, "$devices/dev/presence")
	told := func(want ...string) {
		t.Helper()
		for _, w := range want {
			var p device.Presence
			if err := json.Unmarshal([]byte(watcher.message().Payload), &p); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(p.State, " ", p.Epoch); got != w {
				t.Fatalf("%s %s is told instead of %s", got, p.Reason, w)
			}
		}
	}
	b.FailCommits(1, func(*store.Batch) bool {
		time.Sleep(5 * time.Millisecond) // a disk that takes as long as disks do, so that what is told too early is stored first
		return false
	}, nil)
	for i, o := range [][]option{{resume, expiry(100)}, {resume, expiry(100)}, {expiry(100)}, {}, {resume}, {}} {
		b.connect(t, packet.V5, "dev", o...)
		told(fmt.Sprint("online ", i+1))
	}
	b.FailCommits(1, puts("$devices/registry/dev"), errDisk)
	b.open(t, packet.V5).hello("dev").ended()
	told("offline 6")
	last := b.connect(t, packet.V5, "dev")
	b.open(t, packet.V5).hello("dev", maximumPacketSize(5)).ended() // refused once it is known
	last.refused(packet.SessionTakenOver)
	told("online 7", "online 8", "offline 8")
}
