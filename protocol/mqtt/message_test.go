package mqtt

import (
	"reflect"
	"testing"
	"time"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// User properties come out as they went in, whatever they are called, and turn into nothing else.
func TestUserProperties(t *testing.T) {
	names := []string{"a", "a", "", "content-type", "reply-to", "correlation-data", "expires", "mqtt", "payload-format", "user/a", "user/mqtt", "user/user/a"}
	var in packet.Properties
	for _, name := range names {
		in.User = append(in.User, packet.UserProperty{Name: name, Value: "0"})
	}
	e := newEvent([]byte("a"), nil, meta{qos: 2, retain: true, tag: "t"}, &in, time.Now())
	if got := metaOf(e); got != (meta{qos: 2, retain: true, tag: "t"}) {
		t.Errorf("meta %+v", got)
	}
	out := properties(e)
	if !reflect.DeepEqual(out.User, in.User) {
		t.Errorf("got  %v\nwant %v", out.User, in.User)
	}
	for _, id := range []packet.PropertyID{packet.ContentType, packet.ResponseTopic, packet.CorrelationData, packet.PayloadFormat} {
		if out.Has(id) {
			t.Errorf("a user property has become the %s", id)
		}
	}
	if _, expired := expiry(e, time.Now()); expired || e.Header(event.Expires) != "" {
		t.Error("a user property has made the message expire")
	}
}
