package httpapi_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spate-io/spate/protocol/httpapi"
)

// A document is the OpenAPI document, as far as the tests look at it.
type document struct {
	Paths      map[string]map[string]operation
	Components struct{ Schemas map[string]any }
}

type operation struct {
	OperationID string
	Summary     string
	Parameters  []struct {
		Name, In string
		Example  any
	}
	RequestBody *struct {
		Content map[string]struct{ Schema, Example any }
	}
	Responses map[string]struct {
		Content map[string]struct{ Schema any }
	}
}

func readDocument(t *testing.T) document {
	t.Helper()
	text, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// Every route is in the document, and nothing else is.
func TestDocumentHasEveryRoute(t *testing.T) {
	d, ids := readDocument(t), map[string]bool{}
	var described []string
	for path, item := range d.Paths {
		for method, op := range item {
			if path == "/v1/publish/{subject}" {
				path = "/v1/publish/{subject...}"
			}
			described = append(described, strings.ToUpper(method)+" "+path)
			if ids[op.OperationID] || op.OperationID == "" || op.Summary == "" {
				t.Errorf("%s %s has no operationId of its own, or no summary", method, path)
			}
			ids[op.OperationID] = true
		}
	}
	routes := append(httpapi.Routes(), "GET /v1/ws")
	slices.Sort(described)
	slices.Sort(routes)
	if !slices.Equal(described, routes) {
		t.Errorf("the document has\n%s\nand the router\n%s", strings.Join(described, "\n"), strings.Join(routes, "\n"))
	}
}

// The parameters of a query that a route knows are those of the document; any other is refused and named.
func TestDocumentHasEveryParameter(t *testing.T) {
	k := startAPI(t, setup{consumers: true}, "orders orders/#")
	known := httpapi.Parameters()
	for path, item := range readDocument(t).Paths {
		for method, op := range item {
			if op.OperationID == "connect" {
				continue // a WebSocket, see TestWSAccess
			}
			var described []string
			for _, p := range op.Parameters {
				if p.In == "query" {
					described = append(described, p.Name)
				}
			}
			route := strings.ToUpper(method) + " " + strings.Replace(path, "{subject}", "{subject...}", 1)
			inCode := slices.Sorted(slices.Values(known[route]))
			if slices.Sort(described); !slices.Equal(described, inCode) {
				t.Errorf("%s: the document has the parameters %v, the table %v", route, described, inCode)
			}
			got := k.send(strings.ToUpper(method), path+"?nonsense=1", "").want(t, http.StatusBadRequest)
			if detail := fmt.Sprint(got["detail"]); !strings.Contains(detail, `"nonsense" is not known`) || strings.ContainsAny(detail, "[]") {
				t.Errorf("%s: %s", route, detail)
			}
		}
	}
}

// The document is served, to whoever asks.
func TestDocumentIsServed(t *testing.T) {
	k := startAPI(t, setup{auth: users(t)})
	got := k.ask("GET", "/v1/openapi.json").want(t, http.StatusOK)
	if got["openapi"] != "3.1.0" {
		t.Error(got["openapi"])
	}
	k.ask("GET", "/v1/problems/forbidden").want(t, http.StatusOK)
	k.ask("GET", "/v1/problems/nonsense").wantProblem(t, http.StatusNotFound, "not-found")
}

// Each example in the document is sent, each in a server of its own, and the answer is what the document says.
func TestDocumentExamples(t *testing.T) {
	d := readDocument(t)
	for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
		for method, op := range d.Paths[path] {
			if op.OperationID == "connect" {
				continue // a WebSocket, see TestWSDocument
			}
			bodies := map[string]any{"": nil}
			if op.RequestBody != nil {
				clear(bodies)
				for media, content := range op.RequestBody.Content {
					bodies[media] = content.Example
					if content.Example != nil {
						d.check(t, content.Schema, content.Example, op.OperationID+": example")
					}
				}
			}
			for media, example := range bodies {
				t.Run(strings.TrimSuffix(op.OperationID+" "+media, " "), func(t *testing.T) {
					k := startAPI(t, setup{consumers: true, devices: true, options: httpapi.Options{Sessions: someSessions()}}, "orders orders/#")
					k.publish("orders/1", `{"total":1}`)
					k.publish("orders/bad", "x")
					k.waitForDead(0)
					k.example(d, method, path, op, media, example)
				})
			}
		}
	}
}

// example sends one example and checks the answer.
func (k *apiKit) example(d document, method, path string, op operation, media string, example any) {
	t, header, query := k.t, []string{"X-Example: yes"}, url.Values{}
	for _, p := range op.Parameters {
		switch {
		case p.Example == nil:
		case p.In == "path":
			path = strings.ReplaceAll(path, "{"+p.Name+"}", fmt.Sprint(p.Example))
		case p.In == "query":
			query.Set(p.Name, fmt.Sprint(p.Example))
		case p.In == "header":
			header = append(header, fmt.Sprintf("%s: %v", p.Name, p.Example))
		}
	}
	body := ""
	if text, ok := example.(string); ok {
		body = text
	} else if example != nil {
		raw, err := json.Marshal(example)
		if err != nil {
			t.Fatal(err)
		}
		body = string(raw)
	}
	if media != "" {
		header = append(header, "Content-Type: "+strings.ReplaceAll(media, "*/*", "text/plain"))
	}
	if op.OperationID == "subscribe" {
		k.listen(path+"?"+query.Encode(), header...)
		return
	}
	got := k.send(strings.ToUpper(method), path+"?"+query.Encode(), body, header...)
	said, known := op.Responses[fmt.Sprint(got.status)]
	if !known {
		t.Fatalf("it was answered with %d %s, which is not in the document", got.status, got.body)
	}
	for media, content := range said.Content {
		if got.header.Get("Content-Type") != media {
			t.Errorf("the answer is %q, not %q", got.header.Get("Content-Type"), media)
		}
		if media == "application/octet-stream" {
			continue
		}
		var value any
		if err := json.Unmarshal([]byte(got.body), &value); err != nil {
			t.Fatal(err)
		}
		d.check(t, content.Schema, value, op.OperationID)
	}
	if len(said.Content) == 0 && got.body != "" {
		t.Errorf("an answer without content: %s", got.body)
	}
}

// check holds a value against a schema: types, required and unknown fields, and constants.
func (d document) check(t *testing.T, schema, value any, at string) {
	t.Helper()
	s, _ := schema.(map[string]any)
	if name, ok := s["$ref"].(string); ok {
		target := d.Components.Schemas[strings.TrimPrefix(name, "#/components/schemas/")]
		if target == nil {
			t.Errorf("%s: there is no %s", at, name)
		}
		d.check(t, target, value, at)
		return
	}
	if !fits(s["type"], value) {
		t.Errorf("%s is %v, want %v", at, value, s["type"])
	}
	if constant, ok := s["const"]; ok && constant != value {
		t.Errorf("%s is %v, want %v", at, value, constant)
	}
	if list, ok := value.([]any); ok {
		for i, item := range list {
			d.check(t, s["items"], item, fmt.Sprintf("%s[%d]", at, i))
		}
	}
	object, ok := value.(map[string]any)
	if !ok {
		return
	}
	required, _ := s["required"].([]any)
	for _, name := range required {
		if _, there := object[name.(string)]; !there {
			t.Errorf("%s has no %s: %v", at, name, object)
		}
	}
	properties, _ := s["properties"].(map[string]any)
	for name, v := range object {
		if p, known := properties[name]; known {
			d.check(t, p, v, at+"."+name)
		} else if s["additionalProperties"] == false {
			t.Errorf("%s has %s, which is not in the document", at, name)
		}
	}
}

// fits tells whether a value is of one of the types of a schema.
func fits(types, value any) bool {
	if list, ok := types.([]any); ok {
		return slices.ContainsFunc(list, func(one any) bool { return fits(one, value) })
	}
	switch v := value.(type) {
	case nil:
		return types == nil || types == "null"
	case string:
		return types == nil || types == "string"
	case bool:
		return types == nil || types == "boolean"
	case float64:
		return types == nil || types == "integer" && v == float64(int64(v)) || types == "number"
	case []any:
		return types == nil || types == "array"
	}
	return types == nil || types == "object"
}
