package auth

import (
	"errors"
	"fmt"
)

// While authenticating. None of them says which part was wrong: the reason is in
// the audit line, for the operator alone.
var (
	// ErrDenied means that the credentials do not name anybody who may come in.
	ErrDenied = errors.New("authentication failed: the credentials are not accepted; check the user name, password, token or certificate")

	// ErrNotAuthenticated means that credentials are needed and none were given.
	ErrNotAuthenticated = errors.New("authentication is required: log in first")

	// ErrTooManyTries means that the address failed too often. Of the credentials
	// nothing was looked at, except whether the password is a cached one.
	ErrTooManyTries = errors.New("too many failed logins from this address: wait a minute before the next one")

	// ErrBusy means that the server could not check the credentials in time. They may be right.
	ErrBusy = errors.New("the server is too busy to check the credentials: try again in a few seconds")

	// ErrUnavailable means that the keys to check a token cannot be fetched. The token may be right.
	ErrUnavailable = errors.New("the token cannot be checked now because its issuer's keys cannot be fetched: try again in a minute")

	// ErrClosed means that the Auth was closed.
	ErrClosed = errors.New("authentication is shut down: the server is stopping")
)

// While using an identity.
var (
	// ErrForbidden means that no access rule allows the action.
	ErrForbidden = errors.New("not permitted: no access rule of this user's roles allows it; ask the operator for the right")

	// ErrClient means that no role of the user lists the client identifier of the connection.
	ErrClient = errors.New("the client identifier is not one that this user may use: connect with one that the user's roles list under clients, or ask the operator")

	// ErrExpired means that the token or certificate behind the identity has expired.
	ErrExpired = errors.New("the credentials have expired: log in again with new ones")

	// ErrWithdrawn means that the configuration no longer holds what the identity was made from.
	ErrWithdrawn = errors.New("the login is no longer valid because the server's users or access rules have changed: log in again")
)

// A forbidden is an [ErrForbidden] that says what was not permitted.
type forbidden struct{ text string }

func (f *forbidden) Error() string { return f.text }
func (f *forbidden) Unwrap() error { return ErrForbidden }

// Forbidden returns an [ErrForbidden] that says what was not permitted, such as "read the stream". It goes to the client, so it may name only what that has named.
func Forbidden(what string) error {
	return &forbidden{"not permitted to " + what + ": no access rule of this user's roles allows it; ask the operator for the right"}
}

// forbid says which right is missing. The subject of an event is not named to somebody who may not receive it.
func forbid(action Action, target string) error {
	switch action {
	case ActionPublish:
		return Forbidden(fmt.Sprintf("publish on %.200q", target))
	case ActionSubscribe, ActionSubscribeGlob:
		return Forbidden(fmt.Sprintf("subscribe to %.200q", target))
	case ActionAdmin:
		return &forbidden{"not permitted: " + clip(target) + " needs a role with admin: true; ask the operator for one"}
	}
	return ErrForbidden
}

// While starting and reloading.
var (
	// ErrExposed means that a listener can be reached from other machines while authentication is not configured.
	ErrExposed = errors.New("reachable from other machines without authentication")

	// ErrTurnedOff means that a reload would turn authentication off, which only a restart may do.
	ErrTurnedOff = errors.New("the new configuration has no users, tokens, certificates or roles, which would let everybody in: the old access rules stay; to turn authentication off, restart the server")
)
