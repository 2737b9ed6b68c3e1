package packet

import "testing"

// benchProperties are those of a message with a few.
func benchProperties() *Properties {
	return (&Properties{
		PayloadFormat: 1, MessageExpiry: 60, ContentType: "application/json", ResponseTopic: "reply/7", CorrelationData: []byte("12345678"),
		User: []UserProperty{{"unit", "celsius"}, {"site", "hall"}},
	}).Set(PayloadFormat, MessageExpiry, ContentType, ResponseTopic, CorrelationData)
}

// Taking one PUBLISH with 16 bytes of payload off a buffer.
func BenchmarkReadPublish(b *testing.B) {
	for _, c := range []struct {
		name string
		v    Version
		p    *Properties
	}{{"V311", V311, nil}, {"V5", V5, nil}, {"V5Properties", V5, benchProperties()}} {
		b.Run(c.name, func(b *testing.B) {
			in := AppendPublish(nil, c.v, &OutPublish{Topic: "sensors/hall/42/temperature", QoS: 1, ID: 4, Payload: make([]byte, 16), Properties: c.p})
			d := Decoder{Server: true}
			b.ReportAllocs()
			for b.Loop() {
				f, _, err := d.Split(in, 1<<20)
				if err != nil {
					b.Fatal(err)
				}
				if p, err := f.Publish(c.v); err != nil || p.ID != 4 {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkReadAck(b *testing.B) {
	in := AppendAck(nil, V5, Puback, 7, Success, nil)
	b.ReportAllocs()
	for b.Loop() {
		f, _, err := Split(in, 1<<20)
		if err != nil {
			b.Fatal(err)
		}
		if p, err := f.Ack(V5); err != nil || p.ID != 7 {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadProperties(b *testing.B) {
	in := AppendPublish(nil, V5, &OutPublish{Topic: "sensors/hall/42/temperature", Properties: benchProperties()})
	f, _, _ := Split(in, 0)
	p, _ := f.Publish(V5)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Properties(); err != nil {
			b.Fatal(err)
		}
	}
}

// What one more subscriber costs.
func BenchmarkAppendPublishHead(b *testing.B) {
	out := make([]byte, 0, 256)
	ids := []uint32{300}
	for _, v := range []Version{V311, V5} {
		b.Run(v.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				out = AppendPublishHead(out[:0], PublishHead{
					Version: v, Topic: "sensors/hall/42/temperature", QoS: 1, ID: 4, SubscriptionIDs: ids, MessageExpiry: 60, Shared: 40, Payload: 16,
				})
			}
		})
	}
}

func BenchmarkAppendPublish(b *testing.B) {
	out, p := make([]byte, 0, 256), &OutPublish{Topic: "sensors/hall/42/temperature", QoS: 1, ID: 4, Payload: make([]byte, 16), Properties: benchProperties()}
	for _, v := range []Version{V311, V5} {
		b.Run(v.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				out = AppendPublish(out[:0], v, p)
			}
		})
	}
}

func BenchmarkAppendAck(b *testing.B) {
	out := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		out = AppendAck(out[:0], V5, Puback, 7, Success, nil)
	}
}
