package httpapi

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/protocol/websocket"
)

// A message is what a page has sent: an object with a type.
type message struct {
	kind    string
	id      json.RawMessage // that its answer carries; nil if it has none
	number  uint64          // how many there were, with this one
	members map[string]json.RawMessage
}

// messageMembers are what the messages may have, besides type and id. A text is a string; the others are looked at where they are used.
var messageMembers = map[string]struct{ texts, others []string }{
	"auth":        {texts: []string{"token", "user", "password"}},
	"subscribe":   {texts: []string{"filter", "policy", "stream", "from", "resume", "corrupt"}},
	"unsubscribe": {texts: []string{"filter"}},
	"publish":     {texts: []string{"subject", "key"}, others: []string{"data", "data_base64", "headers", "event"}},
	"ping":        {},
}

// parseMessage reads a message. With a problem it returns what is needed to answer.
func parseMessage(kind websocket.Kind, data []byte) (m message, err error) {
	if kind != websocket.Text {
		return m, problemf(kindRequest, "messages are text: JSON objects with a type")
	}
	var p *problem
	if m.members, p = readObject(data); p != nil {
		return m, p
	}
	if id := m.members["id"]; len(id) > 0 && id[0] != '{' && id[0] != '[' && len(id) <= maxMessageID {
		m.id = bytes.Clone(id)
	} else if len(id) > 0 {
		return m, problemf(kindRequest, "the id of a message is a string or a number, of at most %d bytes", maxMessageID)
	}
	typed, p := member(m.members, "type")
	if p != nil {
		return m, p
	}
	known, there := messageMembers[typed]
	if !there {
		return m, problemf(kindRequest, "the type %.40q is not known: there are %s", typed, strings.Join(slices.Sorted(maps.Keys(messageMembers)), ", "))
	}
	m.kind = typed
	for name := range m.members {
		switch {
		case name == "type", name == "id", slices.Contains(known.others, name):
		case !slices.Contains(known.texts, name):
			return m, problemf(kindRequest, "a message of the type %s has no %.40q", typed, name)
		default:
			if _, p := member(m.members, name); p != nil {
				return m, p
			}
		}
	}
	return m, nil
}

// readObject reads the members of an object, each of which is there once. They lie in data.
func readObject(data []byte) (map[string]json.RawMessage, *problem) {
	if !json.Valid(data) {
		return nil, problemf(kindRequest, "the message is not JSON, or more than one value: %v", jsonError(data))
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if token, err := dec.Token(); err != nil || token != json.Delim('{') {
		return nil, problemf(kindRequest, "a message is a JSON object")
	}
	members := map[string]json.RawMessage{}
	for dec.More() {
		token, err := dec.Token()
		name, _ := token.(string)
		var value json.RawMessage
		if err == nil {
			err = dec.Decode(&value)
		}
		if err != nil {
			return nil, problemf(kindRequest, "the message is not JSON: %v", err)
		}
		if _, twice := members[name]; twice {
			return nil, problemf(kindRequest, "%.40q is there twice", name)
		}
		if members[name] = value; len(members) > maxAttributes {
			return nil, problemf(kindRequest, "there are more than %d members in one object", maxAttributes)
		}
	}
	return members, nil
}

// member returns a member that is a text; "" if it is not there.
func member(of map[string]json.RawMessage, name string) (string, *problem) {
	value, there := of[name]
	if !there {
		return "", nil
	}
	if value[0] != '"' {
		return "", problemf(kindRequest, "%q must be a text", name)
	}
	return unquote(value)
}

// text returns a member that parseMessage has found to be a text, or "".
func (m *message) text(name string) string {
	s, _ := member(m.members, name)
	return s
}

// event makes the event that a message publishes: of the CloudEvent in it, or of its own members.
func (m *message) event() (*event.Event, *problem) {
	if whole := m.members["event"]; whole != nil {
		for _, name := range []string{"subject", "key", "data", "data_base64", "headers"} {
			if _, there := m.members[name]; there {
				return nil, problemf(kindEvent, `%q belongs into "event", or "event" is left out`, name)
			}
		}
		ce, p := decodeCloudEvent(whole)
		if p != nil {
			return nil, p
		}
		return ce.toEvent()
	}
	e := &event.Event{Subject: m.text("subject"), Key: m.text("key")}
	headers, typed := map[string]json.RawMessage{}, ""
	if raw := m.members["headers"]; raw != nil {
		var p *problem
		if headers, p = readObject(raw); p != nil {
			return nil, p
		}
	}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		value, p := member(headers, name)
		if p != nil {
			return nil, p
		}
		if name == contentType {
			typed = value
		}
		e.Headers = append(e.Headers, event.Header{Name: name, Value: value})
	}
	data := cloudEvent{contentType: typed} // whose rules are the same
	if p := data.setData(m.members["data"], m.members["data_base64"]); p != nil {
		return nil, p
	}
	e.Data = data.data
	return e, nil
}
