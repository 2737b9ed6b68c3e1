package mqtt

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// The figures below $SYS are published every ten seconds to who subscribes to them, and only to them.
func TestSysFigures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{})
		defer r.close()
		connect := func(id string, lasts uint32, filters ...string) *peer {
			p := r.dial(packet.V5)
			properties := &packet.Properties{SessionExpiry: lasts}
			properties.Set(packet.SessionExpiry)
			p.send(packet.AppendConnect(nil, &packet.ConnectPacket{Version: packet.V5, CleanStart: true, ClientID: id, Properties: properties}))
			for _, f := range filters {
				p.send(packet.AppendSubscribe(nil, packet.V5, &packet.SubscribePacket{ID: 1, Filters: []packet.Subscription{{Filter: f}}}))
			}
			synctest.Wait()
			return p
		}
		watcher, everything := connect("watcher", 0, "$SYS/#"), connect("everything", 0, "#")
		away := connect("away", 100, "kept")
		away.close()
		connect("there", 0).send(packet.AppendPublish(nil, packet.V5, &packet.OutPublish{Topic: "kept", Payload: []byte("x"), Retain: true}))
		synctest.Wait()
		for _, p := range []*peer{watcher, everything} {
			if _, err := p.sort(); err != nil { // what comes before
				t.Fatal(err)
			}
		}
		time.Sleep(sysEvery + time.Second)
		synctest.Wait()
		got, err := watcher.sort()
		if err != nil {
			t.Fatal(err)
		}
		figures := map[string]string{}
		for _, m := range got.publishes {
			figures[strings.TrimPrefix(m.topic, "$SYS/broker/")] = m.payload
		}
		for topic, want := range map[string]string{
			"uptime": "10 seconds", "clients/connected": "3", "clients/total": "4", "clients/disconnected": "1", "clients/expired": "0",
			"messages/received": "1", "publish/messages/dropped": "0", "retained messages/count": "1",
		} {
			if figures[topic] != want {
				t.Errorf("%s is %q, want %q", topic, figures[topic], want)
			}
		}
		if got, err := everything.sort(); err != nil || len(got.publishes) > 0 {
			t.Errorf("who subscribes to # gets %v, %v", got.publishes, err)
		}
	})
}
