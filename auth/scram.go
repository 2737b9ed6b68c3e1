package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// SCRAMExchange is the server's side of one login by SCRAM-SHA-256 (RFC 5802 and
// 7677): client-first → server-first → client-final → server-final. The password
// does not cross the network, and the client learns that the server knows it too.
// It is not safe for concurrent use and holds at most about 2 KB of messages.
//
// It is written here and not taken from github.com/xdg-go/scram (1.4.0, November
// 2026, maintained): that one ends the exchange at a name that nobody has, and
// bounds neither messages nor nonces. What would have to stand around it is as
// long as this.
//
// There is no channel binding: SCRAM-SHA-256-PLUS is not offered, "n" and "y" of a
// client are accepted and "p" is refused. No server-error is sent, since it would
// say which part was wrong.
type SCRAMExchange struct {
	auth    *Auth
	from    Origin
	current Identity

	step     scramStep
	nonce    string // the server's part; then the whole
	binding  string // c= of the last message: the header of the first in base64
	messages string // what both have sent so far, as it is signed

	account  *account // nil for a name that nobody has
	verifier *verifier
}

type scramStep uint8

const (
	scramBegins scramStep = iota
	scramAnswered
	scramOver
)

// scramNonceBytes are the random bytes in the server's part of the nonce.
const scramNonceBytes = 18

// HasSCRAM reports whether a user has a verifier. While none has, a door says that
// it does not know the method.
func (a *Auth) HasSCRAM() bool { return len(a.snap.Load().decoys.like) > 0 }

// SCRAM begins an exchange. Current is the identity of the connection when it
// authenticates again, as MQTT 5 allows (section 4.12.1), or the zero Identity:
// the user must be the same then, and the new identity has the same client identifier.
func (a *Auth) SCRAM(from Origin, current Identity) *SCRAMExchange {
	random := make([]byte, scramNonceBytes)
	rand.Read(random) // never fails: it ends the process instead
	return &SCRAMExchange{auth: a, from: from, current: current, nonce: base64.StdEncoding.EncodeToString(random)}
}

// First takes the client-first-message and returns the server-first-message. A
// name that nobody has gets an answer as one that somebody has. It does not wait,
// except for a message that is malformed: that counts as a login that failed.
// Nothing of msg is kept.
func (x *SCRAMExchange) First(ctx context.Context, msg []byte) (reply []byte, err error) {
	s := x.auth.snap.Load()
	first, err := parseClientFirst(string(msg[:min(len(msg), maxSCRAMBytes+1)]))
	if err == nil && len(s.decoys.like) == 0 {
		err = errors.New("no user has a verifier")
	}
	if err == nil && x.step != scramBegins {
		err = errSCRAMOrder
	}
	if err != nil {
		x.step = scramOver
		_, err = x.auth.login(ctx, x.from, MethodSCRAM, func(context.Context, *snapshot) (*principal, error) {
			return nil, refuse("", err.Error())
		})
		return nil, err
	}
	x.step = scramAnswered
	x.nonce = first.nonce + x.nonce
	x.binding = base64.StdEncoding.EncodeToString([]byte(first.header))
	x.verifier = s.decoys.verifier(first.user) // also for a name that somebody has: it takes as long
	if account := s.accounts[first.user]; account != nil && account.scram != nil {
		x.account, x.verifier = account, account.scram
	}
	answer := fmt.Sprintf("r=%s,s=%s,i=%d", x.nonce, base64.StdEncoding.EncodeToString(x.verifier.salt), x.verifier.iterations)
	x.messages = first.bare + "," + answer
	return []byte(answer), nil
}

// Final takes the client-final-message and returns the server-final-message and
// who has logged in. Tries, audit lines and errors are those of [Auth.Password];
// it may wait as [Auth.Token] does. Nothing of msg is kept.
func (x *SCRAMExchange) Final(ctx context.Context, msg []byte) (reply []byte, id Identity, err error) {
	step := x.step
	x.step = scramOver
	var signature [sha256.Size]byte
	id, err = x.auth.login(ctx, x.from, MethodSCRAM, func(_ context.Context, s *snapshot) (*principal, error) {
		if step != scramAnswered {
			return nil, refuse("", errSCRAMOrder.Error())
		}
		p, messages, err := x.check(s, string(msg[:min(len(msg), maxSCRAMBytes+1)]))
		signature = mac(x.verifier.serverKey[:], messages)
		return p, err
	})
	if err == nil && x.current.Client() != "" {
		id, err = x.auth.WithClient(x.from, id, x.current.Client())
	}
	if err != nil {
		return nil, Identity{}, err
	}
	return []byte("v=" + base64.StdEncoding.EncodeToString(signature[:])), id, nil
}

// check decides about the last message, and returns all messages as they are signed.
func (x *SCRAMExchange) check(s *snapshot, msg string) (p *principal, messages string, err error) {
	final, err := parseClientFinal(msg)
	if err != nil {
		return nil, "", refuse("", err.Error())
	}
	messages = x.messages + "," + final.withoutProof
	right := x.verifier.proves(messages, final.proof)
	switch {
	case x.account == nil:
		return nil, "", refuse("", "no such user")
	case final.binding != x.binding:
		return nil, "", refuse(x.account.name, "the channel binding is not the one that was begun with")
	case final.nonce != x.nonce:
		return nil, "", refuse(x.account.name, "the nonce is not the one that was begun with")
	case !right:
		return nil, "", refuse(x.account.name, "wrong password")
	case !x.current.IsZero() && x.current.User() != x.account.name:
		return nil, "", refuse(x.account.name, "the connection belongs to another user")
	}
	source := scramSource{secret: x.account.scramSecret}
	if _, err := source.roles(s, x.account.name); err != nil {
		return nil, "", refuse(x.account.name, "the user has changed meanwhile")
	}
	return &principal{names: names{user: x.account.name}, method: MethodSCRAM, source: source}, messages, nil
}

// scramSource is the verifier that a login was checked against.
type scramSource struct{ secret Secret }

func (c scramSource) roles(s *snapshot, user string) ([]string, error) {
	account, known := s.accounts[user]
	if !known || account.scram == nil || !account.scramSecret.Equal(c.secret) {
		return nil, ErrWithdrawn
	}
	return account.roles, nil
}

var errSCRAMOrder = errors.New("a message of SCRAM out of order")

type clientFirst struct {
	header string // gs2-header, with its last comma
	bare   string // client-first-message-bare
	user   string // prepared
	nonce  string
}

// parseClientFirst reads a client-first-message (RFC 5802, section 7). Its errors
// are for the audit line and hold nothing of it.
func parseClientFirst(msg string) (first clientFirst, err error) {
	if len(msg) > maxSCRAMBytes || !utf8.ValidString(msg) || strings.IndexByte(msg, 0) >= 0 {
		return first, errors.New("a message of SCRAM that is too long or no text")
	}
	flag, rest, _ := strings.Cut(msg, ",")
	authzid, bare, found := strings.Cut(rest, ",")
	fields := strings.Split(bare, ",")
	switch {
	case strings.HasPrefix(flag, "p="):
		return first, errors.New("the client wants channel binding, which is not offered")
	case flag != "n" && flag != "y" || !found || authzid != "" && !strings.HasPrefix(authzid, "a="):
		return first, errors.New("a message of SCRAM without a header")
	case strings.HasPrefix(bare, "m="):
		return first, errors.New("the client wants an extension of SCRAM")
	case len(fields) < 2 || !strings.HasPrefix(fields[0], "n=") || !strings.HasPrefix(fields[1], "r="):
		return first, errors.New("a message of SCRAM without a name or nonce")
	case authzid != "" && authzid[2:] != fields[0][2:]:
		return first, errors.New("the client wants to act for another user")
	}
	first = clientFirst{header: msg[:len(msg)-len(bare)], bare: bare, nonce: fields[1][2:]}
	if !printable(first.nonce) || len(first.nonce) > maxNonceBytes {
		return first, fmt.Errorf("a nonce of SCRAM that is not 1 to %d printable characters", maxNonceBytes)
	}
	if err := attributes(fields[2:]); err != nil {
		return first, err
	}
	first.user, err = saslName(fields[0][2:])
	return first, err
}

// saslName reads a name, in which =2C and =3D stand for a comma and an equals sign.
func saslName(text string) (string, error) {
	name := strings.NewReplacer("=2C", ",", "=3D", "=", "=", "\x00").Replace(text)
	if name == "" || len(name) > maxNameBytes || strings.IndexByte(name, 0) >= 0 {
		return "", errors.New("a name in SCRAM that is empty, too long or wrongly escaped")
	}
	if prepared, err := saslprep(name); err == nil {
		return prepared, nil
	}
	return name, nil // no user is called so
}

type clientFinal struct {
	binding, nonce, withoutProof string
	proof                        []byte
}

// parseClientFinal reads a client-final-message.
func parseClientFinal(msg string) (final clientFinal, err error) {
	if len(msg) > maxSCRAMBytes || !utf8.ValidString(msg) || strings.IndexByte(msg, 0) >= 0 {
		return final, errors.New("a message of SCRAM that is too long or no text")
	}
	end := strings.LastIndex(msg, ",p=")
	fields := strings.Split(msg[:max(end, 0)], ",")
	if len(fields) < 2 || !strings.HasPrefix(fields[0], "c=") || !strings.HasPrefix(fields[1], "r=") {
		return final, errors.New("a message of SCRAM without a channel binding, nonce or proof")
	}
	if err := attributes(fields[2:]); err != nil {
		return final, err
	}
	final = clientFinal{binding: fields[0][2:], nonce: fields[1][2:], withoutProof: msg[:end]}
	final.proof, err = base64.StdEncoding.Strict().DecodeString(msg[end+len(",p="):])
	if err != nil || len(final.proof) != sha256.Size {
		return final, errors.New("a proof of SCRAM that is not 32 bytes of base64")
	}
	return final, nil
}

// attributes checks extensions, which are ignored: a letter, =, and a value.
func attributes(fields []string) error {
	for _, f := range fields {
		if len(f) < 3 || f[1] != '=' || (f[0]|0x20) < 'a' || (f[0]|0x20) > 'z' {
			return errors.New("a message of SCRAM with something that is no attribute")
		}
		if f[0] == 'm' {
			return errors.New("the client wants an extension of SCRAM")
		}
	}
	return nil
}

func printable(text string) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return false
		}
	}
	return text != ""
}
