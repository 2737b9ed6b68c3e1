package httpapi_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/spate-io/spate/protocol/httpapi"
	"github.com/spate-io/spate/store"
)

// sessionsOf are sessions as a broker has them; those over a whole server are in spate_test.
type sessionsOf map[string]error // what ending each says

func (s sessionsOf) session(client string) httpapi.Session {
	expiry := new(uint32)
	if client == "hall/1" {
		expiry = nil
	}
	return httpapi.Session{
		Client: client, User: "anna", Address: "192.0.2.7:41920", Version: "5.0", Since: time.Unix(1_700_000_000, 0).UTC(), Expiry: expiry, Subscriptions: 1, Queued: 2, Inflight: 3,
		Connected: client == "lamp",
	}
}

func (s sessionsOf) List(q httpapi.SessionQuery) (page []httpapi.Session, after string) {
	for _, client := range []string{"..", "a//b", "hall/1", "lamp"} {
		one := s.session(client)
		if _, there := s[client]; !there || client <= q.After || q.Connected != nil && *q.Connected != one.Connected {
			continue
		}
		if page = append(page, one); len(page) == q.Limit {
			return page, client
		}
	}
	return page, ""
}

func (s sessionsOf) Show(client string) (httpapi.Session, []httpapi.SessionFilter, bool) {
	_, found := s[client]
	return s.session(client), []httpapi.SessionFilter{{Filter: "a/+", QoS: 1, NoLocal: true, RetainAsPublished: true, ID: 7}}, found
}

func (s sessionsOf) End(_ context.Context, client string) (found bool, err error) {
	err, found = s[client]
	if err == nil {
		delete(s, client)
	}
	return found, err
}

// someSessions has one that is connected, and identifiers that have to be written with care.
func someSessions() sessionsOf {
	return sessionsOf{"hall/1": nil, "lamp": nil, "..": nil, "a//b": fmt.Errorf("it cannot be removed: %w", store.ErrFailed)}
}

func TestSessions(t *testing.T) {
	k := startAPI(t, setup{options: httpapi.Options{Sessions: someSessions()}})
	hall := `{"client":"hall/1","user":"anna","connected":false,"address":"192.0.2.7:41920","version":"5.0","since":"2023-11-14T22:13:20Z","expiry":null,"subscriptions":1,"queued":2,"inflight":3`
	k.tell([]step{
		{"GET", "/v1/sessions?after=a//b", "", 200, `{"sessions":[` + hall + `},{"client":"lamp",`},
		{"GET", "/v1/sessions?after=a//b&limit=1", "", 200, `}],"after":"hall/1"}`},
		{"GET", "/v1/sessions?connected=true&limit=10", "", 200, `{"sessions":[{"client":"lamp","user":"anna","connected":true,`},
		{"GET", "/v1/sessions?connected=false&after=hall/1", "", 200, `{"sessions":[]}`},
		{"GET", "/v1/sessions?connected=perhaps", "", 400, "invalid-request"},
		{"GET", "/v1/sessions?limit=1001", "", 400, "invalid-request"},
		{"GET", "/v1/sessions/hall%2F1", "", 200, hall + `,"filters":[{"filter":"a/+","qos":1,"no_local":true,"retain_as_published":true,"id":7}]}`},
		{"GET", "/v1/sessions/lamp", "", 200, `"expiry":0`},
		{"GET", "/v1/sessions/%2E%2E", "", 200, `{"client":".."`},
		{"GET", "/v1/sessions/a%2F%2Fb", "", 200, `{"client":"a//b"`},
		{"GET", "/v1/sessions/hall/1", "", 404, "not-found"},
		{"GET", "/v1/sessions/nobody", "", 404, "not-found"},
		{"DELETE", "/v1/sessions/nobody", "", 404, "not-found"},
		{"DELETE", "/v1/sessions/a%2F%2Fb", "", 503, "unavailable"},
		{"DELETE", "/v1/sessions/hall%2F1", "", 204, ""},
		{"DELETE", "/v1/sessions/hall%2F1", "", 404, "not-found"},
		{"DELETE", "/v1/sessions", "", 405, "method-not-allowed"},
	})
}

func TestNoSessions(t *testing.T) {
	k := startAPI(t, setup{})
	k.tell([]step{{"GET", "/v1/sessions", "", 404, "not-found"}, {"GET", "/v1/sessions/x", "", 404, "not-found"}, {"DELETE", "/v1/sessions/x", "", 404, "not-found"}})
}
