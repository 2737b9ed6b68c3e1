package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/protocol/httpapi"
	"github.com/spate-io/spate/stream"
)

const asJSON = "Content-Type: application/json"

// A step is one request of a story and what it is answered.
type step struct {
	method, path, body string
	status             int
	want               string // in the body, or the kind of the problem
}

// tell sends the steps of a story, one after the other.
func (k *apiKit) tell(steps []step, header ...string) {
	k.t.Helper()
	for _, s := range steps {
		h := header
		if s.body != "" {
			h = append([]string{asJSON}, header...)
		}
		got := k.send(s.method, s.path, s.body, append(h, "X-Step: yes")...)
		if s.status >= http.StatusBadRequest {
			k.t.Log(s.method, s.path, s.body)
			got.wantProblem(k.t, s.status, s.want)
			continue
		}
		if got.status != s.status || !strings.Contains(got.body, s.want) {
			k.t.Errorf("%s %s %s: %d %s, want %d and %s", s.method, s.path, s.body, got.status, got.body, s.status, s.want)
		}
	}
}

func TestStreams(t *testing.T) {
	k := startAPI(t, setup{}, "orders orders/#")
	for i := range 3 {
		k.publish("orders/1", fmt.Sprint(i))
	}
	k.tell([]step{
		{"GET", "/v1/streams", "", 200, `{"streams":[{"name":"orders"`},
		{"GET", "/v1/streams?after=orders", "", 200, `{"streams":[]}`},
		{"GET", "/v1/streams?limit=0", "", 400, "invalid-request"},
		{"GET", "/v1/streams?limt=1", "", 400, "invalid-request"},
		{"POST", "/v1/streams", `{"name":"a/b","subjects":["a/#"],"partitions":1}`, 201, `"partitions":1`},
		{"POST", "/v1/streams", `{"name":"a/b","subjects":["a/#"],"partitions":1}`, 200, `"partitions":1`},
		{"POST", "/v1/streams", `{"name":"a/b","subjects":["b/#"],"partitions":1}`, 409, "conflict"},
		{"POST", "/v1/streams", `{"name":"x","subjects":[]}`, 422, "invalid-configuration"},
		{"POST", "/v1/streams", `{"name":"$evil","subjects":["x"]}`, 422, "invalid-configuration"},
		{"POST", "/v1/streams", `{"name":"x","subjects":["a/#/b"]}`, 422, "invalid-configuration"},
		{"POST", "/v1/streams", `{"name":"x","subject":["a"]}`, 400, "invalid-request"},
		{"POST", "/v1/streams", `{"name":"x","Name":"y","subjects":["a"]}`, 400, "invalid-request"},
		{"POST", "/v1/streams", `{"name":"x","subjects":["a"],"max_age":"soon"}`, 400, "invalid-request"},
		{"POST", "/v1/streams", `{"name":"x","subjects":["a"]} {}`, 400, "invalid-request"},
		{"POST", "/v1/streams", `{"name":`, 400, "invalid-request"},
		{"POST", "/v1/streams", `{"name":"` + "\xff" + `"}`, 400, "invalid-request"},
		{"POST", "/v1/streams", strings.Repeat("[", 100) + strings.Repeat("]", 100), 400, "invalid-request"},
		{"GET", "/v1/streams/a%2Fb", "", 200, `"name":"a/b"`},
		{"GET", "/v1/streams/nothing", "", 404, "not-found"},
		{"PATCH", "/v1/streams/a%2Fb", `{"max_age":"1h","max_events":7}`, 200, `"max_age":"1h0m0s"`},
		{"PATCH", "/v1/streams/a%2Fb", `{"max_age":null}`, 200, `"partitions":1,"key":"subject","max_events":7`},
		{"PATCH", "/v1/streams/a%2Fb", `{"partitions":2}`, 422, "invalid-configuration"},
		{"PATCH", "/v1/streams/a%2Fb", `{"name":"c"}`, 422, "invalid-configuration"},
		{"PATCH", "/v1/streams/a%2Fb", `{"nonsense":1}`, 400, "invalid-request"},
		{"PATCH", "/v1/streams/nothing", `{}`, 404, "not-found"},
		{"DELETE", "/v1/streams/a%2Fb", "", 204, ""},
		{"DELETE", "/v1/streams/a%2Fb", "", 404, "not-found"},
		{"POST", "/v1/streams/orders/trim", `{}`, 400, "invalid-place"},
		{"POST", "/v1/streams/orders/trim", `{"before":"soon"}`, 400, "invalid-place"},
		{"POST", "/v1/streams/orders/trim", `{"before":"1","partition":9}`, 404, "not-found"},
		{"POST", "/v1/streams/orders/trim", `{"before":"1"}`, 200, `"events":2`},
		{"POST", "/v1/streams/orders/trim", `{"before":"end"}`, 200, `"events":0`},
	})
	k.send("POST", "/v1/streams", `{}`, "Content-Type: text/plain").wantProblem(t, 415, "unsupported-media-type")
	k.send("POST", "/v1/streams", `{}`, asJSON, "Content-Encoding: gzip").wantProblem(t, 415, "unsupported-media-type")
}

func TestReadBack(t *testing.T) {
	k := startAPI(t, setup{}, "orders orders/#")
	if _, err := k.log.Get("orders"); err != nil {
		t.Fatal(err)
	}
	for i := range 250 {
		k.publish(fmt.Sprintf("orders/%d", i), fmt.Sprint(i))
	}
	seen := 0
	for partition := range 4 {
		for at, end := 0.0, 1.0; at < end; {
			page := k.ask("GET", fmt.Sprintf("/v1/streams/orders/events?partition=%d&offset=%.0f&limit=30", partition, at)).want(t, 200)
			at, end = page["next"].(float64), page["end"].(float64)
			seen += len(page["events"].([]any))
		}
	}
	if seen != 250 {
		t.Errorf("%d events were read back", seen)
	}
	k.tell([]step{
		{"GET", "/v1/streams/orders/events?filter=orders/nothing", "", 200, `"events":[]`},
		{"GET", "/v1/streams/orders/events?from=-1h&limit=1", "", 200, `"subject":"orders/`},
		{"GET", "/v1/streams/orders/events?from=end", "", 200, `"events":[]`},
		{"GET", "/v1/streams/orders/events?partition=4", "", 404, "not-found"},
		{"GET", "/v1/streams/orders/events?partition=x", "", 400, "invalid-request"},
		{"GET", "/v1/streams/orders/events?offset=-1", "", 400, "invalid-place"},
		{"GET", "/v1/streams/orders/events?offset=1&from=end", "", 400, "invalid-request"},
		{"GET", "/v1/streams/orders/events?from=soon", "", 400, "invalid-place"},
		{"GET", "/v1/streams/orders/events?filter=a%2B", "", 400, "invalid-request"},
		{"GET", "/v1/streams/nothing/events", "", 404, "not-found"},
	})
}

func TestConsumersAndDeadLetters(t *testing.T) {
	k := startAPI(t, setup{consumers: true}, "orders orders/#")
	for range 3 {
		k.publish("orders/bad", "x")
	}
	k.waitForDead(2)
	k.tell([]step{
		{"GET", "/v1/consumers", "", 200, `{"consumers":[{"name":"billing"`},
		{"GET", "/v1/consumers/billing", "", 200, `"stream":"orders"`},
		{"GET", "/v1/consumers/nothing", "", 404, "not-found"},
		{"POST", "/v1/consumers/billing/pause", "", 200, `"paused":true`},
		{"POST", "/v1/consumers/billing/reset", `{"from":"end"}`, 200, `"lag":0`},
		{"POST", "/v1/consumers/billing/reset", `{"from":"999"}`, 400, "invalid-place"},
		{"POST", "/v1/consumers/billing/reset", `{}`, 400, "invalid-place"},
		{"POST", "/v1/consumers/billing/reset", `{"from":"soon"}`, 400, "invalid-place"},
		{"POST", "/v1/consumers/nothing/reset", `{"from":"end"}`, 404, "not-found"},
		{"POST", "/v1/consumers/nothing/pause", "", 404, "not-found"},
		{"GET", "/v1/dead?limit=2", "", 200, `"after":"1"`},
		{"GET", "/v1/dead?after=1", "", 200, `"id":"2"`},
		{"GET", "/v1/dead?consumer=other", "", 404, "not-found"},
		{"POST", "/v1/dead/redrive", `{"consumer":"other"}`, 404, "not-found"},
		{"GET", "/v1/dead?after=x", "", 404, "not-found"},
		{"GET", "/v1/dead/0", "", 200, `"reason":"no such customer"`},
		{"GET", "/v1/dead/7", "", 404, "not-found"},
		{"POST", "/v1/dead/redrive", `{}`, 400, "invalid-request"},
		{"POST", "/v1/dead/redrive", `{"all":true,"consumer":"billing"}`, 400, "invalid-request"},
		{"POST", "/v1/dead/0/redrive", "", 200, `{"redriven":1}`},
		{"POST", "/v1/dead/0/redrive", "", 404, "not-found"},
		{"DELETE", "/v1/dead/1", "", 204, ""},
		{"DELETE", "/v1/dead/1", "", 404, "not-found"},
		{"POST", "/v1/dead/drop", `{"ids":["9"]}`, 404, "not-found"},
		{"POST", "/v1/dead/drop", `{"all":true}`, 200, `{"dropped":1}`},
		{"POST", "/v1/dead/redrive", `{"consumer":"billing"}`, 200, `{"redriven":0}`},
		{"POST", "/v1/consumers/billing/resume", "", 200, `"paused":false`},
	})
	if got := k.ask("DELETE", "/v1/streams/orders"); !strings.Contains(got.body, "billing") {
		t.Errorf("the consumer is not named: %s", got.body)
	}
	k.waitForDead(3) // the one that was redriven failed again
	k.tell([]step{
		{"DELETE", "/v1/streams/orders", "", 409, "conflict"},
		{"DELETE", "/v1/streams/orders?force=maybe", "", 400, "invalid-request"},
		{"DELETE", "/v1/streams/orders?force=true", "", 204, ""},
		{"GET", "/v1/consumers/billing", "", 200, `"error":"the stream \"orders\" was removed`},
		{"DELETE", "/v1/consumers/billing", "", 409, "conflict"},
		{"DELETE", "/v1/consumers/billing?force=yes", "", 400, "invalid-request"},
		{"DELETE", "/v1/consumers/billing?force=true", "", 204, ""},
		{"GET", "/v1/consumers/billing", "", 404, "not-found"},
	})
}

// Without a bus there is no API, and without streams or consumers the rest of it works.
func TestWithoutParts(t *testing.T) {
	start(t, setup{}).ask("GET", "/v1/streams").wantProblem(t, 404, "not-found")
	k := startAPI(t, setup{})
	k.tell([]step{
		{"GET", "/v1/consumers", "", 404, "not-found"},
		{"GET", "/v1/dead", "", 404, "not-found"},
		{"POST", "/v1/dead/drop", `{"all":true}`, 404, "not-found"},
		{"GET", "/v1/nothing", "", 404, "not-found"},
		{"PUT", "/v1/streams", "", 405, "method-not-allowed"},
		{"GET", "/v1/publish/a", "", 405, "method-not-allowed"},
		{"OPTIONS", "/v1/streams", "", 405, "method-not-allowed"},
	})
	if got := k.ask("PUT", "/v1/streams/x"); got.header.Get("Allow") != "DELETE, GET, HEAD, PATCH" {
		t.Errorf("%v", got.header)
	}
}

// Who may publish is not who may read, and neither may administer.
// Who may read nothing of a stream is answered as if it were not there, on every route that names one: that it exists, how far it reaches
// and how it is made is for those who may read of it.
func TestStreamsAreHidden(t *testing.T) {
	config := users(t)
	config.Roles["guest"] = auth.Role{Subscribe: []string{"news/sport/#", "mine/#"}}
	config.Roles["reader"] = auth.Role{Subscribe: []string{"#"}}
	config.Users = append(config.Users, auth.User{Name: "carl", Password: config.Users[0].Password, Roles: []string{"reader"}})
	k := startAPI(t, setup{auth: config}, "secret secret/#", "news news/#", "mine mine/+")
	if err := k.log.Reserve(t.Context(), stream.Config{Name: "$own", Subjects: []string{"$own/#"}}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		k.publish("secret/plans", "x")
		k.publish("news/sport/ski", "y")
	}
	anna, carl, nobody := basic("anna", "secret"), basic("carl", "secret"), "X-Nobody: yes"
	hidden := []struct{ who, stream string }{{anna, "secret"}, {anna, "$own"}, {carl, "$own"}, {nobody, "secret"}}
	for _, h := range hidden {
		for _, route := range httpapi.Routes() {
			method, path, _ := strings.Cut(route, " ")
			if path == "/v1/subscribe" {
				path += "?stream={name}"
			}
			if !strings.Contains(path, "{name}") || strings.Contains(path, "consumers") {
				continue
			}
			for _, query := range []string{"", "filter=news/sport/%23", "filter=mine/a&from=0", "offset=0&partition=3", "partition=99"} {
				ask := func(stream string) string {
					target := strings.Replace(path, "{name}", stream, 1) + map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")] + query
					r := k.send(method, target, "", h.who, "Last-Event-ID: AAAA")
					return fmt.Sprint(r.status, strings.ReplaceAll(r.body, stream, "it"))
				}
				if got, want := ask(h.stream), ask("nothing"); got != want {
					t.Errorf("%s %s?%s: %s says %s, and without it %s", method, path, query, h.stream, got, want)
				}
			}
		}
	}
	for path, want := range map[string]int{
		"/v1/streams/news/events":                           403, // not all of it
		"/v1/streams/nothing/events":                        403,
		"/v1/streams/news/events?filter=news/sport/%23":     200,
		"/v1/streams/news/events?filter=mine/a":             404,
		"/v1/streams/mine/events":                           200,
		"/v1/streams/mine/events?filter=news/sport/ski":     200, // all of it, and nothing of that is in it
		"/v1/streams/secret/events?filter=secret/plans":     403,
		"/v1/streams/nothing/events?filter=secret/plans":    403,
		"/v1/streams/secret/events?filter=news/sport/%23":   404,
		"/v1/subscribe?stream=secret&filter=news/sport/%23": 404,
	} {
		if got := k.ask("GET", path, anna); got.status != want {
			t.Errorf("%s: %d %s, want %d", path, got.status, got.body, want)
		}
	}
}

func TestRights(t *testing.T) {
	config := users(t)
	guest := config.Roles["guest"]
	guest.Subscribe, guest.Publish = []string{"orders/a/#"}, []string{"inbox/{user}"}
	config.Roles["guest"] = guest
	k := startAPI(t, setup{auth: config, consumers: true, devices: true}, "orders orders/#", "news orders/a/news")
	anna := basic("anna", "secret")
	for _, s := range []step{
		{"POST", "/v1/publish/inbox/anna", "x", 202, ""},
		{"POST", "/v1/publish/inbox/bert", "x", 403, "forbidden"},
		{"GET", "/v1/subscribe?filter=%23", "", 403, "forbidden"},
		{"GET", "/v1/subscribe?stream=orders", "", 403, "forbidden"},
		{"GET", "/v1/subscribe?stream=nothing", "", 403, "forbidden"},
		{"GET", "/v1/subscribe?stream=orders&filter=orders/%2B/news", "", 403, "forbidden"},
		{"GET", "/v1/streams/orders/events", "", 403, "forbidden"},
		{"GET", "/v1/streams/orders/events?filter=orders/a/%23", "", 200, ""},
		{"GET", "/v1/streams/news/events", "", 200, ""},
		{"GET", "/v1/openapi.json", "", 200, ""},
	} {
		k.tell([]step{s}, anna)
	}
	for request, want := range map[string]string{
		"POST /v1/publish/inbox/bert":     `not permitted to publish on \"inbox/bert\"`,
		"GET /v1/subscribe?filter=%23":    `not permitted to subscribe to \"#\"`,
		"GET /v1/subscribe?stream=orders": `not permitted to read all of the stream \"orders\"`,
		"GET /v1/streams/nothing/events":  `not permitted to read all of the stream \"nothing\"`,
		"GET /v1/streams":                 "GET /v1/streams needs a role with admin: true",
	} {
		method, path, _ := strings.Cut(request, " ")
		if got := k.send(method, path, "x", anna); !strings.Contains(got.body, want) {
			t.Errorf("%s: %s, want %s", request, got.body, want)
		}
	}
	for _, route := range httpapi.Routes() {
		method, path, _ := strings.Cut(route, " ")
		path = strings.NewReplacer("{name}", "orders", "{id}", "0", "{subject...}", "a", "{kind}", "forbidden", "{command}", exampleCommand, "{client}", "hall%2F1").Replace(path)
		open := path == "/v1/openapi.json" || strings.HasPrefix(path, "/v1/problems/")
		if got := k.send(method, path, "", "X-Nobody: yes"); !open {
			got.wantProblem(t, 401, "not-authenticated")
		}
		own := open || path == "/v1/events" || path == "/v1/subscribe" || path == "/v1/publish/a" || path == "/v1/streams/orders/events" ||
			path == "/v1/devices" || route == "POST /v1/devices/{id}/commands" // which say what is not allowed once they are read
		if got := k.send(method, path, "", anna); !own {
			got.wantProblem(t, 403, "forbidden")
		}
	}
	k.send("POST", "/v1/events", `{"specversion":"1.0","id":"1","source":"/a","type":"t","subject":"inbox/bert"}`, anna,
		"Content-Type: application/cloudevents+json").wantProblem(t, 403, "forbidden")
	wrong := basic("anna", "wrong")
	for range 3 {
		k.ask("GET", "/v1/streams", wrong).wantProblem(t, 401, "not-authenticated")
	}
	k.ask("GET", "/v1/streams", wrong).wantProblem(t, 429, "too-many-tries")
}
