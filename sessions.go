package spate

import (
	"context"
	"errors"

	"github.com/spate-io/spate/protocol/httpapi"
	"github.com/spate-io/spate/protocol/mqtt"
)

// sessions is how the HTTP door sees the sessions of the MQTT broker: no protocol knows another.
type sessions struct{ broker *mqtt.Broker }

// List implements httpapi.Sessions.
func (s sessions) List(q httpapi.SessionQuery) (page []httpapi.Session, after string) {
	all, after := s.broker.Sessions(mqtt.SessionQuery(q))
	for _, one := range all {
		page = append(page, httpapi.Session(one))
	}
	return page, after
}

// Show implements httpapi.Sessions.
func (s sessions) Show(client string) (httpapi.Session, []httpapi.SessionFilter, bool) {
	one, subscriptions, err := s.broker.Session(client)
	if err != nil {
		return httpapi.Session{}, nil, false
	}
	filters := make([]httpapi.SessionFilter, len(subscriptions))
	for i, sub := range subscriptions {
		filters[i] = httpapi.SessionFilter(sub)
	}
	return httpapi.Session(one), filters, true
}

// End implements httpapi.Sessions.
func (s sessions) End(ctx context.Context, client string) (found bool, err error) {
	if err = s.broker.End(ctx, client); errors.Is(err, mqtt.ErrNoSession) {
		return false, nil
	}
	return true, err
}
