package httpapi

import (
	"context"
	"errors"
	"net/http"

	"github.com/spate-io/spate/auth"
)

// admin lets administrators through, and while authentication is not configured
// whoever is on this machine.
func (d *Door) admin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := connOf(r)
		from := auth.Origin{Door: c.lst.name, Addr: c.remote.Addr()}
		id, err := d.identify(r, c, from)
		if err == nil {
			err = d.opts.Auth.Authorize(from, id, auth.ActionAdmin, r.URL.Path)
		}
		if err != nil {
			deny(w, err)
			return
		}
		user := id.User()
		c.user.Store(&user)
		next.ServeHTTP(w, r)
	})
}

// identify finds out who sends the request: by the Authorization header, or
// else by the certificate of the connection. No other header names anybody.
func (d *Door) identify(r *http.Request, c *conn, from auth.Origin) (auth.Identity, error) {
	a := d.opts.Auth
	if !a.Enabled() {
		return a.Open(from, c.lst.Addr())
	}
	if values := r.Header.Values("Authorization"); len(values) > 0 {
		return a.Header(r.Context(), from, values)
	}
	if c.tls == nil {
		return auth.Identity{}, auth.ErrNotAuthenticated
	}
	state := c.tls.ConnectionState()
	if len(state.VerifiedChains) == 0 {
		return auth.Identity{}, auth.ErrNotAuthenticated
	}
	return a.Certificate(r.Context(), from, &state)
}

// deny answers with the status that fits err. The text is what the client may know.
func deny(w http.ResponseWriter, err error) {
	status := http.StatusForbidden
	switch {
	case errors.Is(err, auth.ErrTooManyTries):
		w.Header().Set("Retry-After", "60")
		status = http.StatusTooManyRequests
	case errors.Is(err, auth.ErrBusy), errors.Is(err, auth.ErrUnavailable), errors.Is(err, auth.ErrClosed), errors.Is(err, context.Canceled):
		status = http.StatusServiceUnavailable
	case errors.Is(err, auth.ErrNotAuthenticated), errors.Is(err, auth.ErrDenied), errors.Is(err, auth.ErrExpired), errors.Is(err, auth.ErrWithdrawn):
		w.Header().Add("WWW-Authenticate", `Basic realm="spate", charset="UTF-8"`)
		w.Header().Add("WWW-Authenticate", `Bearer realm="spate"`)
		status = http.StatusUnauthorized
	}
	http.Error(w, err.Error(), status)
}

// few answers at most maxHeavy of its requests at once.
func (d *Door) few(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case d.heavy <- struct{}{}:
			defer func() { <-d.heavy }()
			next.ServeHTTP(w, r)
		default:
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many of these requests at once: try again in a second", http.StatusServiceUnavailable)
		}
	})
}
