package auth

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// The example of RFC 7677, section 3: the user is "user" and the password "pencil".
const (
	rfcVerifier = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
	rfcFirst    = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
	rfcServer   = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	rfcAnswer   = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
	rfcFinal    = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
	rfcLast     = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
)

// scramPeople adds a user with the verifier of the RFC alone, gives bert one
// beside a password, and a user whose name needs care.
func scramPeople() Config {
	config := people()
	config.Users[1].SCRAM = bertVerifier()
	config.Users = append(config.Users,
		User{Name: "user", SCRAM: NewSecret(rfcVerifier), Roles: []string{"device"}},
		User{Name: "a,b=c é", SCRAM: careVerifier()})
	config.Tries = Tries{Burst: 1000}
	return config
}

// Made once, because that takes long under the race detector.
var (
	bertVerifier = sync.OnceValue(func() Secret { return NewSecret(must(HashSCRAM(NewSecret("bert-scram"), scramMinIterations))) })
	careVerifier = sync.OnceValue(func() Secret { return NewSecret(must(HashSCRAM(NewSecret("Ⅸ secret"), 5000))) })
	salted       sync.Map // by password, salt and iterations: what hi returns
)

// scramClient is the client's side, as the RFC describes it.
type scramClient struct {
	flag, name, password string
	bare                 string
	change               func(final string) string
}

func (c *scramClient) first() []byte {
	name := strings.NewReplacer("=", "=3D", ",", "=2C").Replace(c.name)
	c.bare = "n=" + name + ",r=client-nonce"
	return []byte(c.flag + ",," + c.bare)
}

// final returns the last message and the signature that it expects.
func (c *scramClient) final(answer []byte) (msg []byte, signature string) {
	var nonce, salt string
	var iterations int
	for _, field := range strings.Split(string(answer), ",") {
		switch field[0] {
		case 'r':
			nonce = field[2:]
		case 's':
			salt = string(must(base64.StdEncoding.DecodeString(field[2:])))
		case 'i':
			_, _ = fmt.Sscan(field[2:], &iterations)
		}
	}
	key := hi(c.password, salt, iterations)
	without := "c=" + base64.StdEncoding.EncodeToString([]byte(c.flag+",,")) + ",r=" + nonce
	messages := c.bare + "," + string(answer) + "," + without
	clientKey, serverKey := mac(key, "Client Key"), mac(key, "Server Key")
	stored, server := sha256.Sum256(clientKey[:]), mac(serverKey[:], messages)
	proof := mac(stored[:], messages)
	for i := range proof {
		proof[i] ^= clientKey[i]
	}
	text := without + ",p=" + base64.StdEncoding.EncodeToString(proof[:])
	if c.change != nil {
		text = c.change(text)
	}
	return []byte(text), "v=" + base64.StdEncoding.EncodeToString(server[:])
}

// hi is Hi() of the RFC by hand, beside the library that the server uses.
func hi(password, salt string, iterations int) []byte {
	key := fmt.Sprintf("%q %q %d", password, salt, iterations)
	if sum, found := salted.Load(key); found {
		return sum.([]byte)
	}
	h := hmac.New(sha256.New, []byte(must(saslprep(password))))
	h.Write([]byte(salt + "\x00\x00\x00\x01"))
	u := h.Sum(nil)
	sum := bytes.Clone(u)
	for range iterations - 1 {
		h.Reset()
		h.Write(u)
		u = h.Sum(u[:0])
		for i := range sum {
			sum[i] ^= u[i]
		}
	}
	salted.Store(key, sum)
	return sum
}

// run is a whole exchange.
func (c *scramClient) run(t testing.TB, a *Auth, from Origin, current Identity) (Identity, error) {
	t.Helper()
	x := a.SCRAM(from, current)
	answer, err := x.First(t.Context(), c.first())
	if err != nil {
		return Identity{}, err
	}
	msg, signature := c.final(answer)
	last, id, err := x.Final(t.Context(), msg)
	if err == nil && string(last) != signature {
		t.Errorf("the server signs %q, want %q", last, signature)
	}
	return id, err
}

func TestSCRAMVectors(t *testing.T) {
	a, log := start(t, scramPeople(), Options{})
	x := a.SCRAM(peer, Identity{})
	x.nonce = rfcServer
	if answer, err := x.First(t.Context(), []byte(rfcFirst)); err != nil || string(answer) != rfcAnswer {
		t.Fatalf("%q, %v", answer, err)
	}
	last, id, err := x.Final(t.Context(), []byte(rfcFinal))
	if err != nil || string(last) != rfcLast || id.User() != "user" || id.Method() != MethodSCRAM || log.lines() != 0 {
		t.Errorf("%q, %v, %v", last, id, err)
	}
	if v := newVerifier("pencil", must(base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")), 4096); v.storedKey != must(parseVerifier(rfcVerifier)).storedKey {
		t.Error("the verifier is another one")
	}
	// The same messages once more, to a server that has chosen another nonce.
	again := a.SCRAM(peer, Identity{})
	if _, err := again.First(t.Context(), []byte(rfcFirst)); err != nil {
		t.Fatal(err)
	}
	if _, id, err := again.Final(t.Context(), []byte(rfcFinal)); !errors.Is(err, ErrDenied) || !id.IsZero() || !strings.Contains(log.String(), "the nonce is not") {
		t.Errorf("a replay: %v, %v", id, err)
	}
	if one, other := a.SCRAM(peer, Identity{}), a.SCRAM(peer, Identity{}); one.nonce == other.nonce {
		t.Error("two exchanges have the same nonce")
	}
}

func TestSCRAM(t *testing.T) {
	a, log := start(t, scramPeople(), Options{})
	good := []scramClient{
		{flag: "n", name: "bert", password: "bert-scram"}, {flag: "y", name: "bert", password: "bert-scram"},
		{flag: "n", name: "user", password: "pencil"}, {flag: "n", name: "a,b=c é", password: "IX secret"},
		{flag: "n", name: "a,b=c e\u0301", password: "Ⅸ\u00a0secret\u00ad"},
	}
	for _, c := range good {
		if id, err := c.run(t, a, peer, Identity{}); err != nil || id.Method() != MethodSCRAM {
			t.Errorf("%s: %v, %v: %s", c.name, id, err, log.String())
		}
	}
	drop := func(what, with string) func(string) string {
		return func(final string) string { return strings.Replace(final, what, with, 1) }
	}
	bad := map[string]struct {
		client scramClient
		reason string
	}{
		"wrong password":                   {scramClient{flag: "n", name: "bert", password: "bert-secret"}, `"user":"bert","action":"log in with scram","reason":"wrong password"`},
		"no such user":                     {scramClient{flag: "n", name: "emil-secret", password: "x"}, `"user":"-","action":"log in with scram","reason":"no such user"`},
		"a user without a verifier":        {scramClient{flag: "n", name: "anna", password: "anna-secret"}, "no such user"},
		"other binding":                    {scramClient{flag: "n", name: "bert", password: "bert-scram", change: drop("c=biws", "c=eSws")}, "channel binding"},
		"other nonce":                      {scramClient{flag: "n", name: "bert", password: "bert-scram", change: drop(",r=client-nonce", ",r=Client-nonce")}, "the nonce is not"},
		"the nonce of the client":          {scramClient{flag: "n", name: "bert", password: "bert-scram", change: func(string) string { return "c=biws,r=client-nonce,p=" + strings.Repeat("A", 43) + "=" }}, "the nonce is not"},
		"no proof":                         {scramClient{flag: "n", name: "bert", password: "bert-scram", change: drop(",p=", ",x=")}, "without a channel binding"},
		"short proof":                      {scramClient{flag: "n", name: "bert", password: "bert-scram", change: func(s string) string { return s[:len(s)-4] }}, "32 bytes"},
		"an attribute that was not signed": {scramClient{flag: "n", name: "bert", password: "bert-scram", change: drop(",p=", ",x=1,p=")}, "wrong password"},
		"mandatory extension":              {scramClient{flag: "n", name: "bert", password: "bert-scram", change: drop(",p=", ",m=1,p=")}, "extension"},
	}
	for name, c := range bad {
		before := len(log.String())
		id, err := c.client.run(t, a, peer, Identity{})
		if !errors.Is(err, ErrDenied) || err.Error() != ErrDenied.Error() || !id.IsZero() || !strings.Contains(log.String()[before:], c.reason) {
			t.Errorf("%s: %v, %v: %s", name, id, err, log.String()[before:])
		}
	}
	if strings.Contains(log.String(), "emil") {
		t.Error("the log holds a name that was only claimed")
	}
	if s := a.Stats(); s.Accepted != uint64(len(good)) || s.Refused != uint64(len(bad)) {
		t.Errorf("%+v", s)
	}
}

func TestSCRAMMessages(t *testing.T) {
	a, _ := start(t, scramPeople(), Options{})
	bad := []string{
		"", ",", ",,", "n", "n,", "n,,", "n,,n=user", "n,,r=abc", "n,,r=abc,n=user", "n,n=user,r=abc", "x,,n=user,r=abc", "N,,n=user,r=abc",
		"p=tls-unique,,n=user,r=abc", "p=tls-exporter,,n=user,r=abc", "p=,,n=user,r=abc", "n,a=anna,n=user,r=abc", "n,b=user,n=user,r=abc",
		"n,,m=x,n=user,r=abc", "n,,n=user,r=abc,m=x", "n,,n=,r=abc", "n,,n=us=er,r=abc", "n,,n=us=2cer,r=abc", "n,,n=user=,r=abc",
		"n,,n=user,r=", "n,,n=user,r=a b", "n,,n=user,r=é", "n,,n=user,r=abc,x", "n,,n=user,r=abc,", "n,,n=user,r=abc,1=x",
		"n,,n=us\x00er,r=abc", "n,,n=\xff,r=abc", "n,,n=" + strings.Repeat("x", maxNameBytes+1) + ",r=abc",
		"n,,n=user,r=" + strings.Repeat("x", maxNonceBytes+1), "n,,n=user,r=abc,x=" + strings.Repeat("x", maxSCRAMBytes), strings.Repeat("n", 1<<20),
	}
	for _, msg := range bad {
		x := a.SCRAM(peer, Identity{})
		if reply, err := x.First(t.Context(), []byte(msg)); !errors.Is(err, ErrDenied) || reply != nil {
			t.Errorf("%.60q: %q, %v", msg, reply, err)
		}
		if _, _, err := x.Final(t.Context(), []byte(rfcFinal)); !errors.Is(err, ErrDenied) {
			t.Errorf("after %.60q: %v", msg, err)
		}
	}
	for _, msg := range []string{"n,,n=user,r=a", "y,a=user,n=user,r=a,x=1,Y=2", "n,,n=" + strings.Repeat("=2C", maxNameBytes) + ",r=" + strings.Repeat("x", maxNonceBytes)} {
		if _, err := a.SCRAM(peer, Identity{}).First(t.Context(), []byte(msg)); err != nil {
			t.Errorf("%.60q: %v", msg, err)
		}
	}
	x := a.SCRAM(peer, Identity{})
	if _, _, err := x.Final(t.Context(), []byte(rfcFinal)); !errors.Is(err, ErrDenied) {
		t.Errorf("the last message first: %v", err)
	}
	x = a.SCRAM(peer, Identity{})
	c := scramClient{flag: "n", name: "bert", password: "bert-scram"}
	answer := must(x.First(t.Context(), c.first()))
	final, _ := c.final(answer)
	if _, _, err := x.Final(t.Context(), final); err != nil {
		t.Fatal(err)
	}
	if _, _, err := x.Final(t.Context(), final); !errors.Is(err, ErrDenied) {
		t.Errorf("the last message twice: %v", err)
	}
	if _, err := x.First(t.Context(), c.first()); !errors.Is(err, ErrDenied) {
		t.Errorf("the first message after the last: %v", err)
	}
}

// TestSCRAMUnknownUser: a name that nobody has gets the same answer each time, of
// the same form as a name that somebody has, also from another process and after a reload.
func TestSCRAMUnknownUser(t *testing.T) {
	config := scramPeople()
	a, _ := start(t, config, Options{})
	b, _ := start(t, config, Options{})
	answer := func(a *Auth, name string) string {
		x := a.SCRAM(peer, Identity{})
		x.nonce = "server"
		return string(must(x.First(t.Context(), []byte("n,,n="+name+",r=client"))))
	}
	before := make(map[string]string)
	forms := make(map[string]int)
	for i := range 50 {
		name := fmt.Sprintf("nobody-%d", i)
		before[name] = answer(a, name)
		if again, other := answer(a, name), answer(b, name); again != before[name] || other != before[name] {
			t.Errorf("%s: %s, %s, %s", name, before[name], again, other)
		}
		_, cost, _ := strings.Cut(before[name], ",i=")
		forms[fmt.Sprintf("%d bytes, i=%s", len(before[name]), cost)]++
	}
	for _, name := range []string{"bert", "user", "a=2Cb=3Dc é"} {
		text := answer(a, name)
		_, cost, _ := strings.Cut(text, ",i=")
		if form := fmt.Sprintf("%d bytes, i=%s", len(text), cost); forms[form] == 0 {
			t.Errorf("%s is answered with %s, nobody with any of %v", name, form, forms)
		}
	}
	config.Users[2].Password, config.Roles["new"] = NewSecret(annaHash), Role{}
	if err := a.Reload(config); err != nil {
		t.Fatal(err)
	}
	for name, want := range before {
		if got := answer(a, name); got != want {
			t.Errorf("after a reload %s is answered with %s, before with %s", name, got, want)
		}
	}
	// Somebody with a password and no verifier is nobody here.
	if x := a.SCRAM(peer, Identity{}); string(must(x.First(t.Context(), []byte("n,,n=anna,r=c")))) == "" || x.account != nil {
		t.Error("anna has a verifier")
	}
}

func TestSCRAMWithoutVerifiers(t *testing.T) {
	a, log := start(t, people(), Options{})
	if _, err := a.SCRAM(peer, Identity{}).First(t.Context(), []byte(rfcFirst)); a.HasSCRAM() || !errors.Is(err, ErrDenied) || !strings.Contains(log.String(), "no user has a verifier") {
		t.Errorf("%v, %s", err, log.String())
	}
	if b, _ := start(t, scramPeople(), Options{}); !b.HasSCRAM() {
		t.Error("no user has a verifier")
	}
	_ = a.Close()
	if _, _, err := a.SCRAM(peer, Identity{}).Final(t.Context(), nil); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestSCRAMTries: guesses by SCRAM and by password use up the same tries.
func TestSCRAMTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := scramPeople()
		config.Tries = Tries{Burst: 3, Every: time.Minute}
		a, _ := start(t, config, Options{})
		wrong, right := scramClient{flag: "n", name: "bert", password: "guess"}, scramClient{flag: "n", name: "bert", password: "bert-scram"}
		for range 2 {
			if _, err := wrong.run(t, a, peer, Identity{}); !errors.Is(err, ErrDenied) {
				t.Fatal(err)
			}
		}
		if _, err := a.Password(t.Context(), peer, "bert", NewSecret("guess")); !errors.Is(err, ErrDenied) {
			t.Fatal(err)
		}
		for range 100 { // begun and left: nothing was guessed
			if _, err := a.SCRAM(peer, Identity{}).First(t.Context(), right.first()); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := right.run(t, a, peer, Identity{}); !errors.Is(err, ErrTooManyTries) {
			t.Errorf("over the limit: %v", err)
		}
		time.Sleep(time.Minute)
		if _, err := right.run(t, a, peer, Identity{}); err != nil {
			t.Errorf("a minute later: %v", err)
		}
	})
}

// TestSCRAMAgain: who authenticates again must be the same user, with the same identifier.
func TestSCRAMAgain(t *testing.T) {
	a, log := start(t, scramPeople(), Options{})
	bert, user := scramClient{flag: "n", name: "bert", password: "bert-scram"}, scramClient{flag: "n", name: "user", password: "pencil"}
	id, err := bert.run(t, a, peer, Identity{})
	if err == nil {
		id, err = a.WithClient(peer, id, "c1")
	}
	if err != nil {
		t.Fatal(err)
	}
	again, err := bert.run(t, a, peer, id)
	if err != nil || again.User() != "bert" || again.Client() != "c1" {
		t.Errorf("the same user: %v, %v", again, err)
	}
	if other, err := user.run(t, a, peer, id); !errors.Is(err, ErrDenied) || !other.IsZero() || !strings.Contains(log.String(), "belongs to another user") {
		t.Errorf("another user: %v, %v", other, err)
	}
}

// TestSCRAMReload: a verifier that was replaced logs nobody in, neither in an
// exchange that has begun nor by what it logged in before.
func TestSCRAMReload(t *testing.T) {
	a, log := start(t, scramPeople(), Options{})
	c := scramClient{flag: "n", name: "bert", password: "bert-scram"}
	id, err := c.run(t, a, peer, Identity{})
	if err != nil {
		t.Fatal(err)
	}
	x := a.SCRAM(peer, Identity{})
	final, _ := c.final(must(x.First(t.Context(), c.first())))
	config := scramPeople()
	config.Users[1].SCRAM = NewSecret(must(HashSCRAM(NewSecret("bert-scram"), scramMinIterations))) // with another salt
	if err := a.Reload(config); err != nil {
		t.Fatal(err)
	}
	if _, _, err := x.Final(t.Context(), final); !errors.Is(err, ErrDenied) || !strings.Contains(log.String(), "changed meanwhile") {
		t.Errorf("in an exchange that had begun: %v", err)
	}
	if err := a.Refresh(id); !errors.Is(err, ErrWithdrawn) {
		t.Errorf("what the old verifier logged in: %v", err)
	}
	id, err = c.run(t, a, peer, Identity{})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Reload(config); err != nil || a.Refresh(id) != nil {
		t.Errorf("a reload that changes nothing: %v, %v", err, a.Refresh(id))
	}
}

// TestSCRAMVerifierTakesPasswords: who has a verifier alone logs in by password too.
func TestSCRAMVerifierTakesPasswords(t *testing.T) {
	a, _ := start(t, scramPeople(), Options{})
	login(t, a, "user", "pencil")
	login(t, a, "bert", "bert-secret")
	login(t, a, "a,b=c é", "IX secret")
	for user, password := range map[string]string{"user": "pencil2", "bert": "bert-scram", "a,b=c é": "\xff"} {
		if _, err := a.Password(t.Context(), peer, user, NewSecret(password)); !errors.Is(err, ErrDenied) {
			t.Errorf("%s: %v", user, err)
		}
	}
}

func FuzzSCRAM(f *testing.F) {
	a, _ := start(f, scramPeople(), Options{})
	f.Add(rfcFirst, rfcFinal)
	f.Add("y,a=user,n=user,r=x,a=b", "c=eSws,r=x,a=b,p=AAAA")
	f.Add("p=tls-unique,,n=user,r=x", "c=,r=,p=")
	f.Add("n,,n==2C=3D,r=x", ",p=")
	f.Fuzz(func(t *testing.T, first, final string) {
		x := a.SCRAM(peer, Identity{})
		x.nonce = rfcServer
		s := a.snap.Load()
		if parsed, err := parseClientFirst(first); err == nil {
			if parsed.header+parsed.bare != first || len(parsed.user) > 18*maxNameBytes || len(parsed.nonce) > maxNonceBytes {
				t.Fatalf("%q is read as %+v", first, parsed)
			}
			answer, err := x.First(t.Context(), []byte(first))
			if err != nil || len(answer) > 512 {
				t.Fatalf("%q is answered with %q, %v", first, answer, err)
			}
		}
		if x.verifier == nil {
			return
		}
		p, _, err := x.check(s, final)
		if err == nil && (first != rfcFirst || final != rfcFinal || p.user != "user") {
			t.Fatalf("%q and %q log in %s", first, final, p.user)
		}
	})
}
