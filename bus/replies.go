package bus

import (
	"crypto/rand"
	"fmt"
	"strings"
	"sync"

	"github.com/spate-io/spate/event"
)

// replyPrefix begins the subjects of replies. No filter that begins with a wildcard selects them, and each has 130 random bits for its node and as many for
// the request, so that nobody can read or forge a reply who was not given access to "$reply/#".
const replyPrefix = "$reply/"

// replies is the requests of a node that wait. It subscribes at the first one.
type replies struct {
	mu      sync.Mutex
	closed  bool
	client  *Client
	prefix  string
	waiting map[string]*waiting
}

// waiting is a request that waits.
type waiting struct {
	subject string
	reply   chan *event.Event
}

// open makes a place for a reply.
func (r *replies) open(b *Bus) (*waiting, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, ErrRan
	}
	if len(r.waiting) >= maxRequests {
		return nil, fmt.Errorf("%d requests wait for their replies: %w", len(r.waiting), ErrTooMany)
	}
	if r.client == nil {
		prefix := replyPrefix + rand.Text() + "/"
		client := b.NewClient(replyEnd{r})
		if _, err := client.Subscribe(prefix + "+"); err != nil {
			return nil, err
		}
		r.client, r.prefix, r.waiting = client, prefix, map[string]*waiting{}
	}
	w := &waiting{subject: r.prefix + rand.Text(), reply: make(chan *event.Event, 1)}
	r.waiting[w.subject] = w
	return w, nil
}

func (r *replies) forget(w *waiting) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waiting, w.subject)
}

// close ends the subscription, and refuses requests from now on. Those that wait go on until their time is over.
func (r *replies) close() {
	r.mu.Lock()
	r.closed = true
	client := r.client
	r.mu.Unlock()
	if client != nil {
		client.Close()
	}
}

// replyEnd is the end that the bus sees.
type replyEnd struct{ *replies }

// Deliver gives a reply to whoever waits for it. Later ones are dropped.
func (r replyEnd) Deliver(m *Message) bool {
	r.mu.Lock()
	w := r.waiting[m.Subject()]
	r.mu.Unlock()
	if w == nil {
		return false
	}
	select {
	case w.reply <- m.Keep():
		return true
	default:
		return false
	}
}

// isReply tells whether a subject is one of replies.
func isReply(subject string) bool { return strings.HasPrefix(subject, replyPrefix) }
