package packet

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"
)

// A head and the shared body behind it are one packet, the same as if it had been encoded whole.
func TestPublishHead(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	g := generator{rand.New(rand.NewPCG(seed, 0))}
	for range 2000 {
		for _, v := range []Version{V311, V5} {
			want := g.publish(v, g.properties(v, atPublish))
			h := PublishHead{
				Version: v, Topic: want.Topic, QoS: want.QoS, Dup: want.Dup, Retain: want.Retain, ID: want.ID, Payload: len(want.Payload),
			}
			if p := want.Properties; p != nil {
				p.MessageExpiry |= 1 // 0 stands for none
				h.SubscriptionIDs = p.SubscriptionIDs
				if p.Has(TopicAlias) {
					h.TopicAlias = p.TopicAlias
				}
				if p.Has(MessageExpiry) {
					h.MessageExpiry = p.MessageExpiry
				} else {
					p.MessageExpiry = 0
				}
			}
			body := AppendSharedProperties(nil, want.Properties)
			h.Shared = len(body)
			body = append(body, want.Payload...)

			wire := append(AppendPublishHead(nil, h), body...)
			if len(wire) != h.Size() {
				t.Fatalf("%+v: %d bytes, but Size is %d", h, len(wire), h.Size())
			}
			f, n, err := Split(wire, len(wire))
			if err != nil || n != len(wire) {
				t.Fatalf("%+v: Split gave %d of %d bytes, %v", h, n, len(wire), err)
			}
			got, err := decode(f, v)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("%v\n got %+v\nwant %+v", err, got, want)
			}
		}
	}
}

// One body serves versions with and without properties.
func TestSharedBody(t *testing.T) {
	p := (&Properties{ContentType: "text/plain", User: []UserProperty{{"a", "b"}}}).Set(ContentType)
	body := AppendSharedProperties(nil, p)
	shared := len(body)
	body = append(body, "21.5"...)
	for _, v := range []Version{V31, V311, V5} {
		h := PublishHead{Version: v, Topic: "sensors/hall", QoS: 1, ID: 7, Shared: shared, Payload: 4}
		behind := body
		if v < V5 {
			behind = body[shared:]
		}
		f, _, err := Split(append(AppendPublishHead(nil, h), behind...), 0)
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.Publish(v)
		if err != nil || string(got.Topic) != "sensors/hall" || string(got.Payload) != "21.5" || got.ID != 7 {
			t.Errorf("version %s: %+v, %v", v, got, err)
		}
		if got.HasProperties() != (v == V5) || v == V5 && !bytes.Equal(got.RawProperties, body[:shared]) {
			t.Errorf("version %s: properties %q", v, got.RawProperties)
		}
	}
}

// What a broker asks of every PUBLISH is there without decoding the properties.
func TestPublishProperties(t *testing.T) {
	p := &OutPublish{Properties: (&Properties{TopicAlias: 9, MessageExpiry: 60}).Set(TopicAlias, MessageExpiry)}
	f, _, err := Split(AppendPublish(nil, V5, p), 0)
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.Publish(V5)
	if err != nil {
		t.Fatal(err)
	}
	if alias, ok := got.TopicAlias(); alias != 9 || !ok {
		t.Errorf("topic alias %d, %v", alias, ok)
	}
	if seconds, ok := got.MessageExpiry(); seconds != 60 || !ok {
		t.Errorf("message expiry %d, %v", seconds, ok)
	}
	if got.Has(ContentType) || !got.Has(TopicAlias) {
		t.Error("Has is wrong")
	}
}

func TestAllocations(t *testing.T) {
	properties := (&Properties{
		PayloadFormat: 1, MessageExpiry: 60, ContentType: "text/plain", ResponseTopic: "reply/ä", CorrelationData: []byte("1234"),
		User: []UserProperty{{"unit", "°C"}},
	}).Set(PayloadFormat, MessageExpiry, ContentType, ResponseTopic, CorrelationData)
	in := AppendPublish(nil, V5, &OutPublish{Topic: "sensors/hall/temperature", QoS: 1, ID: 4, Payload: []byte("21.5"), Properties: properties})
	out := make([]byte, 0, 4096)
	puback, payload := []byte{0x40, 3, 0, 1, 0x10}, []byte("21.5")
	ids, suback := []uint32{1, 200, 70_000}, []Code{GrantedQoS1}
	for name, f := range map[string]func(){
		"reading a PUBLISH": func() {
			f, _, err := Decoder{Server: true}.Split(in, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if p, err := f.Publish(V5); err != nil || string(p.Payload) != "21.5" {
				t.Fatal(p, err)
			}
		},
		"reading a part of a PUBLISH": func() {
			if _, n, err := Split(in[:len(in)-1], 1<<20); n != 0 || err != nil {
				t.Fatal(n, err)
			}
		},
		"reading a PUBACK": func() {
			f, _, _ := Split(puback, 0)
			if p, err := f.Ack(V5); err != nil || p.Code != NoMatchingSubscribers {
				t.Fatal(p, err)
			}
		},
		"a head": func() {
			out = AppendPublishHead(out[:0], PublishHead{
				Version: V5, Topic: "sensors/hall/temperature", QoS: 1, ID: 4, SubscriptionIDs: ids, TopicAlias: 4, MessageExpiry: 4, Shared: 10, Payload: 10,
			})
		},
		"a PUBLISH": func() {
			p := OutPublish{Topic: "sensors/hall/temperature", QoS: 1, ID: 4, Payload: payload, Properties: properties}
			out = AppendPublish(out[:0], V5, &p)
		},
		"shared properties": func() { out = AppendSharedProperties(out[:0], properties) },
		"a PUBACK":          func() { out = AppendAck(out[:0], V5, Puback, 1, NoMatchingSubscribers, nil) },
		"a CONNACK":         func() { out = AppendConnack(out[:0], V5, true, Success, properties) },
		"a SUBACK":          func() { out = AppendSuback(out[:0], V5, 1, suback, nil) },
		"a DISCONNECT":      func() { out = AppendDisconnect(out[:0], V5, ServerShuttingDown, properties) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}
