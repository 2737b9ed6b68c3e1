package spate_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/internal/mqttclient"
	"github.com/spate-io/spate/protocol/mqtt/packet"
	"github.com/spate-io/spate/store/memstore"
)

// What the broker counts has a name for dashboards, and its connections are listed with their users and client identifiers.
func TestMQTTMetrics(t *testing.T) {
	o := quiet()
	store := memstore.New(memstore.Options{})
	t.Cleanup(func() { _ = store.Close() })
	o.Store = store
	hash, err := auth.HashPassword(auth.NewSecret("secret"))
	if err != nil {
		t.Fatal(err)
	}
	o.Auth = auth.Config{
		Users: []auth.User{{Name: "anna", Password: auth.NewSecret(hash), Roles: []string{"all"}}},
		Roles: map[string]auth.Role{"all": {Admin: true, Publish: []string{"#"}, Subscribe: []string{"#"}}},
	}
	app := spate.New(o)
	devices, web := listen(t, app, "mqtt://127.0.0.1:0"), listen(t, app, "http://127.0.0.1:0")
	run(t, app)
	c, err := mqttclient.Dial(t.Context(), "mqtt://"+devices.String(), mqttclient.Options{
		ClientID: "fan-1", Username: "anna", Password: "secret", Resume: true, SessionExpiry: 60,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Subscribe(t.Context(), packet.Subscription{Filter: "a", QoS: 2}); err != nil {
		t.Fatal(err)
	}
	for qos := range byte(3) {
		if _, err := c.Publish(t.Context(), mqttclient.Message{Topic: "a", QoS: qos, Retain: qos == 2, Payload: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	body := admin(t, "http://"+web.String()+"/metrics")
	for _, want := range []string{
		"mqtt_clients 1", "mqtt_sessions 1", "mqtt_lasting_sessions 1", "mqtt_retained_messages 1", "mqtt_connects_total 1", "mqtt_takeovers_total 0",
		"mqtt_sessions_expired_total 0", "mqtt_packets_received_total ", "mqtt_messages_refused_total 0", "mqtt_messages_failed_total 0",
		"mqtt_messages_expired_total 0", "mqtt_messages_too_large_total 0", "mqtt_wills_total 0",
		`mqtt_messages_received_total{qos="0"} 1`, `mqtt_messages_received_total{qos="1"} 1`, `mqtt_messages_received_total{qos="2"} 1`,
		`mqtt_messages_sent_total{qos="0"} 1`, `mqtt_messages_sent_total{qos="1"} 1`, `mqtt_messages_sent_total{qos="2"} 1`,
		`mqtt_messages_dropped_total{qos="1"} 0`,
	} {
		if !strings.Contains(body, "\nspate_"+want) {
			t.Errorf("/metrics lacks %q", want)
		}
	}
	list := admin(t, "http://"+web.String()+"/debug/connections?format=json")
	if !strings.Contains(list, `"user":"anna"`) || !strings.Contains(list, `"detail":"fan-1"`) {
		t.Errorf("/debug/connections does not know the client: %s", list)
	}
}

// admin gets a page as somebody who may.
func admin(t *testing.T, url string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("anna", "secret")
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatal(answer.Status, err)
	}
	return string(text)
}
