package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/event"
)

func TestDevices(t *testing.T) {
	k := startAPI(t, setup{consumers: true, devices: true}, "orders orders/#")
	k.tell([]step{
		{"GET", "/v1/devices", "", 200, `{"devices":[{"id":"fan-7","type":"fan","tags":["hall"],"declared":true,"online":false,"epoch":0,"last_seen":"20`},
		{"GET", "/v1/devices?type=lamp", "", 200, `{"devices":[]}`},
		{"GET", "/v1/devices?tags=hall,roof", "", 200, `{"devices":[]}`},
		{"GET", "/v1/devices?tags=hall&online=false&type=fan&limit=1", "", 200, `"after":"fan-7"`},
		{"GET", "/v1/devices?after=fan-7", "", 200, `{"devices":[]}`},
		{"GET", "/v1/devices?online=perhaps", "", 400, "invalid-request"},
		{"GET", "/v1/devices?absent=true", "", 200, `{"devices":[]}`},
		{"GET", "/v1/devices?absent=false&online=false", "", 200, `"id":"fan-7"`},
		{"GET", "/v1/devices?absent=perhaps", "", 400, "invalid-request"},
		{"GET", "/v1/devices/fan-7", "", 200, `"id":"fan-7"`},
		{"GET", "/v1/devices/fan-8", "", 404, "not-found"},
		{"GET", "/v1/devices/%2B", "", 400, "invalid-request"},
		{"GET", "/v1/devices/a%2Fb", "", 400, "invalid-request"},
		{"PUT", "/v1/devices/lamp", `{"type":"lamp"}`, 200, `"id":"lamp","type":"lamp","declared":true`},
		{"PUT", "/v1/devices/lamp", `{"tags":[""]}`, 400, "invalid-request"},
		{"PUT", "/v1/devices/lamp", `{"tags":["a,b"]}`, 400, "invalid-request"},
		{"PUT", "/v1/devices/lamp", `{"colour":"red"}`, 400, "invalid-request"},
		{"PUT", "/v1/devices/a%23", `{}`, 400, "invalid-request"},
		{"DELETE", "/v1/devices/lamp", "", 204, ""},
		{"DELETE", "/v1/devices/lamp", "", 404, "not-found"},

		{"GET", "/v1/devices/fan-7/state", "", 200, `{"desired":{},"reported":{"ON":1,"on":true},"version":1,"metadata":{"desired":{},"reported":{"ON":`},
		{"PATCH", "/v1/devices/fan-7/state", `{"desired":{"speed":3,"on":true},"reported":{"ON":null}}`, 200, `"delta":{"speed":3},"version":2`},
		{"PATCH", "/v1/devices/fan-7/state", `{"desired":null}`, 200, `"desired":{},"reported":{"on":true},"version":3`},
		{"PATCH", "/v1/devices/fan-7/state", `{}`, 400, "invalid-request"},
		{"PATCH", "/v1/devices/fan-7/state", `{"wanted":{}}`, 400, "invalid-request"},
		{"PATCH", "/v1/devices/fan-7/state", `{"desired":7}`, 400, "invalid-request"},
		{"PATCH", "/v1/devices/fan-7/state", `{"desired":{"a":1,"a":2}}`, 400, "invalid-request"},
		{"PATCH", "/v1/devices/fan-7/state", `{"desired":{"a":1},"DESIRED":{"a":2}}`, 400, "invalid-request"},
		{"PATCH", "/v1/devices/fan-7/state", `{"desired":{"a":1},"deſired":{"a":2}}`, 400, "invalid-request"},
		{"PATCH", "/v1/devices/fan-7/state", `{"desired":{"a":"` + strings.Repeat("x", 33<<10) + `"}}`, 413, "too-large"},
		{"PATCH", "/v1/devices/fan-8/state", `{"desired":{}}`, 404, "not-found"},
		{"GET", "/v1/devices/fan-8/state", "", 404, "not-found"},
	})
	got := k.ask("GET", "/v1/devices/fan-7/state")
	if tag := got.header.Get("ETag"); tag != `"3"` {
		t.Errorf("ETag %s", tag)
	}
	for _, wrong := range []string{`"2"`, `3`, `"3`, `W/"3"`, `"x"`, `"2", "4"`, `"3" "3"`, `"3", 3`, `"3,4"`, `,`, `"x,", W/"3"`} {
		k.send("PATCH", "/v1/devices/fan-7/state", `{"desired":{}}`, asJSON, `If-Match: `+wrong).wantProblem(t, http.StatusPreconditionFailed, "precondition-failed")
	}
	for n, right := range []string{`"%d"`, `*`, `"2", "%d"`, `"x,", W/"1" , "%d","9"`, `, "%d",`} {
		if strings.Contains(right, "%d") {
			right = fmt.Sprintf(right, 3+n)
		}
		k.send("PATCH", "/v1/devices/fan-7/state", `{"desired":{}}`, asJSON, `If-Match: `+right).want(t, http.StatusOK)
	}
	if p := k.send("PATCH", "/v1/devices/fan-7/state", `{"desired":{}}`, asJSON, `If-Match: "1"`, `If-Match: "8"`); p.status != http.StatusOK {
		t.Errorf("of two lines: %d", p.status)
	}
}

func TestDeviceCommands(t *testing.T) {
	k := startAPI(t, setup{consumers: true, devices: true}, "orders orders/#")
	k.answerCommands()
	path := "/v1/devices/fan-7/commands"
	k.tell([]step{
		{"POST", path, `{"method":"spin","payload":{"rpm":9},"wait":"30s"}`, 200, `"response":{"rpm":9}`},
		{"POST", path, `{"method":"spin","payload_base64":"/w==","content_type":"x/y","wait":"30s"}`, 200, `"response_base64":"/w=="`},
		{"POST", path, `{"method":"fail","payload":"stuck","wait":"30s"}`, 200, `"state":"failed"`},
		{"POST", path, `{"method":"silent","wait":"1ns","expiry":"1h"}`, 202, `"method":"silent"`},
		{"GET", path + "/" + exampleCommand, "", 200, `"id":"` + exampleCommand + `","device":"fan-7"`},
		{"GET", path + "/nothing", "", 404, "not-found"},
	})
	// Nobody waited for the last one: it is on disk, and comes into the list when its turn is there.
	for end := time.Now().Add(10 * time.Second); !strings.Contains(k.send("GET", path, "").body, `"method":"silent"`); {
		if time.Now().After(end) {
			t.Fatal("a command that was accepted is not in the list")
		}
	}
	k.tell([]step{
		{"POST", path, `{"method":"a/b"}`, 400, "invalid-request"},
		{"POST", path, `{"method":"spin","payload":1,"payload_base64":"/w=="}`, 400, "invalid-request"},
		{"POST", path, `{"method":"spin","wait":"2m"}`, 400, "invalid-request"},
		{"POST", path, `{"method":"spin","expiry":"soon"}`, 400, "invalid-request"},
		{"POST", path, `{"method":"spin","payload":"` + strings.Repeat("x", 17<<10) + `"}`, 413, "too-large"},
		{"POST", "/v1/devices/fan-8/commands", `{"method":"spin"}`, 404, "not-found"},
		{"GET", "/v1/devices/fan-8/commands", "", 404, "not-found"},
	})
	got := k.send("POST", path, `{"method":"silent"}`, asJSON)
	var c struct{ ID, State string }
	if err := json.Unmarshal([]byte(got.body), &c); err != nil || got.status != http.StatusAccepted || c.State != "queued" || got.header.Get("Location") != path+"/"+c.ID {
		t.Errorf("%d %s, %s", got.status, got.body, got.header.Get("Location"))
	}
}

// Who waits for the answer of a device that is removed learns that there is none.
func TestDeviceRemovedWhileWaiting(t *testing.T) {
	k := startAPI(t, setup{consumers: true, devices: true}, "orders orders/#")
	path := "/v1/devices/fan-7/commands"
	var over sync.WaitGroup
	defer over.Wait()
	over.Go(func() {
		k.send("POST", path, `{"method":"silent","wait":"30s"}`, asJSON).wantProblem(t, http.StatusNotFound, "not-found")
	})
	for end := time.Now().Add(10 * time.Second); !strings.Contains(k.send("GET", path, "").body, `"method":"silent"`); {
		if time.Now().After(end) {
			t.Fatal("a command that was given is not in the list")
		}
	}
	k.send("DELETE", "/v1/devices/fan-7", "").want(t, http.StatusNoContent)
}

// answerCommands has "fan-7" answer with what it is sent, or fail with it.
func (k *apiKit) answerCommands() {
	k.t.Helper()
	c := k.bus.NewClient(answering{k.bus})
	k.t.Cleanup(c.Close)
	for _, filter := range []string{"$devices/fan-7/commands/+/request/spin", "$devices/fan-7/commands/+/request/fail"} {
		if _, err := c.Subscribe(filter); err != nil {
			k.t.Fatal(err)
		}
	}
}

type answering struct{ bus *bus.Bus }

func (a answering) Deliver(m *bus.Message) bool {
	e := m.Keep()
	to := e.Header(event.ReplyTo)
	if strings.HasSuffix(e.Subject, "/fail") {
		to = strings.TrimSuffix(to, "response") + "error"
	}
	a.bus.Submit([]*event.Event{{Subject: to, Data: e.Data}}, func(bus.Receipt, error) {})
	return true
}

// Who may do something with a device over topics may do it over HTTP, and nobody else.
func TestDeviceRights(t *testing.T) {
	config := users(t)
	guest := config.Roles["guest"]
	guest.Subscribe = []string{"$devices/fan-7/presence", "$devices/fan-7/state/#"}
	guest.Publish = []string{"$devices/+/state/desired", "$devices/+/commands/+/request/spin"}
	config.Roles["guest"] = guest
	k := startAPI(t, setup{auth: config, consumers: true, devices: true}, "orders orders/#")
	k.send("PUT", "/v1/devices/lamp", `{}`, asJSON, basic("root", "secret")).want(t, http.StatusOK)
	k.tell([]step{
		{"GET", "/v1/devices", "", 200, `{"devices":[{"id":"fan-7",`},
		{"GET", "/v1/devices/fan-7", "", 200, ""},
		{"GET", "/v1/devices/lamp", "", 403, "forbidden"},
		{"GET", "/v1/devices/nothing", "", 403, "forbidden"},
		{"PUT", "/v1/devices/fan-7", `{}`, 403, "forbidden"},
		{"DELETE", "/v1/devices/fan-7", "", 403, "forbidden"},
		{"GET", "/v1/devices/fan-7/state", "", 200, ""},
		{"GET", "/v1/devices/lamp/state", "", 403, "forbidden"},
		{"PATCH", "/v1/devices/fan-7/state", `{"desired":{"a":1}}`, 200, ""},
		{"PATCH", "/v1/devices/fan-7/state", `{"desired":{"a":1},"reported":{}}`, 403, "forbidden"},
		{"POST", "/v1/devices/lamp/commands", `{"method":"spin"}`, 202, ""},
		{"POST", "/v1/devices/lamp/commands", `{"method":"burn"}`, 403, "forbidden"},
		{"GET", "/v1/devices/fan-7/commands", "", 403, "forbidden"},
		{"GET", "/v1/devices/fan-7/commands/" + exampleCommand, "", 403, "forbidden"},
	}, basic("anna", "secret"))
	if got := k.ask("GET", "/v1/devices", basic("anna", "secret")); strings.Contains(got.body, "lamp") {
		t.Errorf("a device that may not be seen: %s", got.body)
	}
}

func TestNoDevices(t *testing.T) {
	k := startAPI(t, setup{}, "orders orders/#")
	k.tell([]step{{"GET", "/v1/devices", "", 404, "not-found"}, {"GET", "/v1/devices/x/state", "", 404, "not-found"}})
}
