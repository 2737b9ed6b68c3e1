package e2e

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
	"github.com/eclipse/paho.golang/paho/extensions/topicaliases"
	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// done waits for a token of paho.mqtt.golang.
func done(t *testing.T, what string, token mqtt.Token) {
	t.Helper()
	if !token.WaitTimeout(patience) {
		t.Fatalf("%s: no answer", what)
	}
	if err := token.Error(); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// next reads from a channel.
func next[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("%s: nothing came", what)
	}
	panic("unreachable")
}

// pahoOptions are those of a client of paho.mqtt.golang. What it receives is sent to the channel.
func pahoOptions(address, id string) (*mqtt.ClientOptions, chan string) {
	received := make(chan string, 1000)
	o := mqtt.NewClientOptions().AddBroker(address).SetClientID(id).SetProtocolVersion(4).SetConnectTimeout(patience).
		SetMaxReconnectInterval(200 * time.Millisecond).SetConnectRetryInterval(200 * time.Millisecond).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
			received <- fmt.Sprintf("%s %d %t %s", m.Topic(), m.Qos(), m.Retained(), m.Payload())
		})
	return o, received
}

func pahoConnect(t *testing.T, o *mqtt.ClientOptions) mqtt.Client {
	t.Helper()
	c := mqtt.NewClient(o)
	done(t, "connecting", c.Connect())
	t.Cleanup(func() { c.Disconnect(0) })
	return c
}

// paho.mqtt.golang speaks 3.1.1, over TCP and over WebSocket.
func TestPaho(t *testing.T) {
	n := mqttNode(t)
	for _, address := range mqttAddresses(n) {
		carrier, _, _ := strings.Cut(address, ":")
		o, received := pahoOptions(address, carrier+" subscriber")
		subscriber := pahoConnect(t, o)
		done(t, "subscribing", subscriber.Subscribe(carrier+"/#", 2, nil))
		o, _ = pahoOptions(address, carrier+" publisher")
		o.SetWill(carrier+"/gone", "bye", 1, true)
		publisher := pahoConnect(t, o)
		large := strings.Repeat("x", 100_000)
		for qos := range byte(3) {
			done(t, "publishing", publisher.Publish(carrier+"/a", qos, false, "hello"))
			done(t, "publishing", publisher.Publish(carrier+"/a", qos, qos == 2, large))
			for _, payload := range []string{"hello", large} {
				if got, want := next(t, "a message", received), fmt.Sprintf("%s/a %d false %s", carrier, qos, payload); got != want {
					t.Errorf("received %.60s, want %.60s", got, want)
				}
			}
		}
		o, late := pahoOptions(address, carrier+" late")
		done(t, "subscribing", pahoConnect(t, o).Subscribe(carrier+"/a", 1, nil))
		if got, want := next(t, "the retained message", late), fmt.Sprintf("%s/a 1 true %s", carrier, large); got != want {
			t.Errorf("retained: %.60s", got)
		}
		done(t, "unsubscribing", subscriber.Unsubscribe(carrier+"/#"))
		done(t, "subscribing", subscriber.Subscribe(carrier+"/b", 0, nil))
		done(t, "publishing", publisher.Publish(carrier+"/a", 1, false, "nobody"))
		done(t, "publishing", publisher.Publish(carrier+"/b", 1, false, "x"))
		if got := next(t, "a message", received); got != carrier+"/b 0 false x" {
			t.Errorf("after unsubscribing: %s", got)
		}
	}
}

// A client of paho.mqtt.golang comes back by itself after the server was killed: what it had published arrives, and what waited for it.
func TestPahoReconnects(t *testing.T) {
	n := mqttNode(t)
	address := "mqtt://" + n.urls["mqtt"]
	o, received := pahoOptions(address, "subscriber")
	lost, back := make(chan error, 10), make(chan bool, 10)
	o.SetCleanSession(false).SetConnectionLostHandler(func(_ mqtt.Client, err error) { lost <- err }).SetOnConnectHandler(func(mqtt.Client) { back <- true })
	subscriber := pahoConnect(t, o)
	next(t, "the connection", back)
	done(t, "subscribing", subscriber.Subscribe("a", 1, nil))
	publish := func(payload string) {
		o, _ := pahoOptions(address, "publisher")
		c := mqtt.NewClient(o)
		done(t, "connecting", c.Connect())
		done(t, "publishing", c.Publish("a", 1, false, payload))
		c.Disconnect(250)
	}
	publish("1")
	if got := next(t, "a message", received); got != "a 1 false 1" {
		t.Error(got)
	}
	n.restart(t)
	next(t, "the loss of the connection", lost)
	next(t, "the connection", back)
	publish("2")
	for got := ""; got != "a 1 false 2"; { // the acknowledgement of the first may have been lost with the server
		if got = next(t, "a message", received); got != "a 1 false 2" && got != "a 1 false 1" {
			t.Fatal(got)
		}
	}
}

// An autoClient is a client of paho.golang that connects again by itself.
type autoClient struct {
	*autopaho.ConnectionManager
	received chan *paho.Publish
	up       chan *paho.Connack
}

func auto(t *testing.T, address, id string, change func(c *autopaho.ClientConfig)) *autoClient {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	a := &autoClient{received: make(chan *paho.Publish, 1000), up: make(chan *paho.Connack, 100)}
	cfg := autopaho.ClientConfig{
		ServerUrls: []*url.URL{u}, KeepAlive: 30, SessionExpiryInterval: 600, ConnectTimeout: patience,
		ReconnectBackoff: func(attempt int) time.Duration {
			return min(time.Duration(attempt)*50*time.Millisecond, 200*time.Millisecond)
		},
		OnConnectionUp: func(_ *autopaho.ConnectionManager, ack *paho.Connack) { a.up <- ack },
		ClientConfig: paho.ClientConfig{ClientID: id, OnPublishReceived: []func(paho.PublishReceived) (bool, error){
			func(p paho.PublishReceived) (bool, error) { a.received <- p.Packet; return true, nil },
		}},
	}
	if change != nil {
		change(&cfg)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if a.ConnectionManager, err = autopaho.NewConnection(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); <-a.Done() })
	next(t, id+" connects", a.up)
	return a
}

func (a *autoClient) sub(t *testing.T, options ...paho.SubscribeOptions) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if ack, err := a.Subscribe(ctx, &paho.Subscribe{Subscriptions: options}); err != nil {
		t.Fatalf("subscribing: %v, %+v", err, ack)
	}
}

func (a *autoClient) pub(t *testing.T, p *paho.Publish) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := a.Publish(ctx, p); err != nil {
		t.Fatalf("publishing: %v", err)
	}
}

// paho.golang speaks version 5, over TCP and over WebSocket.
func TestPaho5(t *testing.T) {
	n := mqttNode(t)
	for _, address := range mqttAddresses(n) {
		carrier, _, _ := strings.Cut(address, ":")
		subscriber := auto(t, address, carrier+" subscriber", nil)
		subscriber.sub(t, paho.SubscribeOptions{Topic: carrier + "/a", QoS: 2, NoLocal: true, RetainAsPublished: true})
		publisher := auto(t, address, carrier+" publisher", nil)
		expiry, format := uint32(100), byte(1)
		for qos := range byte(3) {
			sent := &paho.Publish{Topic: carrier + "/a", QoS: qos, Retain: qos == 1, Payload: []byte("hello"), Properties: &paho.PublishProperties{
				ContentType: "text/plain", ResponseTopic: "answers", CorrelationData: []byte{0, 1}, MessageExpiry: &expiry, PayloadFormat: &format,
				User: paho.UserProperties{{Key: "b", Value: "2"}, {Key: "a", Value: "1"}},
			}}
			publisher.pub(t, sent)
			subscriber.pub(t, sent) // its own, which it does not want
			got := next(t, "a message", subscriber.received)
			p := got.Properties
			if got.Topic != sent.Topic || got.QoS != qos || got.Retain != sent.Retain || string(got.Payload) != "hello" || p.ContentType != "text/plain" || p.ResponseTopic != "answers" ||
				string(p.CorrelationData) != "\x00\x01" || p.MessageExpiry == nil || *p.MessageExpiry > 100 || p.PayloadFormat == nil || *p.PayloadFormat != 1 || fmt.Sprint(p.User) != fmt.Sprint(sent.Properties.User) {
				t.Errorf("QoS %d: %s with %+v", qos, got, p)
			}
		}
		if len(subscriber.received) > 0 {
			t.Errorf("one more: %s", <-subscriber.received)
		}
	}
}

// A publisher of paho.golang that uses topic aliases, by paho's own extension.
func TestPahoTopicAliases(t *testing.T) {
	n := mqttNode(t)
	address := "mqtt://" + n.urls["mqtt"]
	subscriber := auto(t, address, "subscriber", nil)
	subscriber.sub(t, paho.SubscribeOptions{Topic: "plant/#", QoS: 1})
	aliases := topicaliases.NewTAHandler(8)
	publisher := auto(t, address, "publisher", func(c *autopaho.ClientConfig) { c.PublishHook = aliases.PublishHook })
	for i := range 30 {
		topic := fmt.Sprint("plant/line/", i%6)
		publisher.pub(t, &paho.Publish{Topic: topic, QoS: byte(i % 3), Payload: fmt.Append(nil, i)})
		if got := next(t, "a message", subscriber.received); got.Topic != topic || string(got.Payload) != fmt.Sprint(i) {
			t.Errorf("message %d: %s", i, got)
		}
	}
	if aliases.GetAlias("plant/line/0") == 0 {
		t.Error("no alias was used")
	}
}

// A request and its answer over response topic and correlation data. (Paho's own extension for it loses answers that come before the PUBACK of their request.)
func TestPahoRequest(t *testing.T) {
	n := mqttNode(t)
	address := "mqtt://" + n.urls["mqtt"]
	device := auto(t, address, "device", nil)
	device.sub(t, paho.SubscribeOptions{Topic: "devices/7/call", QoS: 1})
	caller := auto(t, address, "caller", nil)
	caller.sub(t, paho.SubscribeOptions{Topic: "answers/caller", QoS: 1})
	for i := range 5 {
		correlation := fmt.Sprint("nr ", i)
		caller.pub(t, &paho.Publish{Topic: "devices/7/call", QoS: 1, Payload: []byte("how much?"), Properties: &paho.PublishProperties{
			ResponseTopic: "answers/caller", CorrelationData: []byte(correlation),
		}})
		request := next(t, "the request", device.received)
		device.pub(t, &paho.Publish{Topic: request.Properties.ResponseTopic, QoS: 1, Payload: fmt.Append(nil, i), Properties: &paho.PublishProperties{CorrelationData: request.Properties.CorrelationData}})
		answer := next(t, "the answer", caller.received)
		if string(answer.Properties.CorrelationData) != correlation || string(answer.Payload) != fmt.Sprint(i) {
			t.Errorf("the answer to %q: %s", correlation, answer)
		}
	}
}

// Clients of paho.golang connect again after the server was killed, and their sessions go on.
func TestPaho5Reconnects(t *testing.T) {
	n := mqttNode(t)
	address := "mqtt://" + n.urls["mqtt"]
	subscriber := auto(t, address, "subscriber", nil)
	subscriber.sub(t, paho.SubscribeOptions{Topic: "a/+", QoS: 2})
	publisher := auto(t, address, "publisher", nil)
	var want []string
	for round := range 3 {
		for i := range 5 {
			publisher.pub(t, &paho.Publish{Topic: "a/x", QoS: byte(1 + i%2), Payload: fmt.Append(nil, round, i)})
			want = append(want, fmt.Sprint(round, i))
		}
		n = n.restart(t)
		for _, c := range []*autoClient{subscriber, publisher} {
			if ack := next(t, "the connection after the server was killed", c.up); !ack.SessionPresent {
				t.Error("the session is gone")
			}
		}
	}
	publisher.pub(t, &paho.Publish{Topic: "a/end", QoS: 1})
	seen := map[string]int{}
	var received []string
	for {
		m := next(t, "a message", subscriber.received)
		if m.Topic == "a/end" {
			break
		}
		if seen[string(m.Payload)]++; seen[string(m.Payload)] == 1 {
			received = append(received, string(m.Payload))
		} else if m.QoS == 2 {
			t.Errorf("%s came twice", m.Payload)
		}
	}
	got(t, "all that was acknowledged", received, want...)
}
