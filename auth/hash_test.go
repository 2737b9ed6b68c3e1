package auth

import (
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

func TestHashPassword(t *testing.T) {
	text, err := HashPassword(NewSecret("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(text, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("the hash does not have the documented parameters: %s", text)
	}
	h, err := parseHash(text)
	if err != nil {
		t.Fatal(err)
	}
	if !h.verify("correct horse") || h.verify("correct horsf") || h.verify("") {
		t.Error("the hash does not tell right from wrong")
	}
	if again, _ := HashPassword(NewSecret("correct horse")); again == text {
		t.Error("two hashes of one password are equal: the salt is not random")
	}
	for _, bad := range []string{"", strings.Repeat("x", maxPasswordBytes+1)} {
		if _, err := HashPassword(NewSecret(bad)); err == nil {
			t.Errorf("a password of %d bytes was hashed", len(bad))
		}
	}
}

func TestBcryptStopsAt72(t *testing.T) {
	h, err := parseHash(cleoHash)
	if err != nil {
		t.Fatal(err)
	}
	if !h.verify("cleo-secret") || h.verify("cleo-secreT") {
		t.Error("the hash does not tell right from wrong")
	}
	if h.verify("cleo-secret" + strings.Repeat("x", 80)) {
		t.Error("a longer password is accepted")
	}
	full := strings.Repeat("x", maxBcryptBytes)
	text, err := bcrypt.GenerateFromPassword([]byte(full), bcryptMinCost)
	if err != nil {
		t.Fatal(err)
	}
	if h = bcryptHash(text); !h.verify(full) || h.verify(full+"y") {
		t.Error("what comes after byte 72 does not count")
	}
}

func TestParseHash(t *testing.T) {
	const salt, tag = "c2FsdC1vZi1hbm5hLTEyMzQ", "IQ7+to4oWZzkIpaQqw5h8BoRDF8P36HqdPeKoGjVHgI"
	argon := func(params string) string { return "$argon2id$v=19$" + params + "$" + salt + "$" + tag }
	cases := []struct{ name, text, want string }{
		{"plain password", "hunter2", "not an argon2id or bcrypt hash"},
		{"argon2i", "$argon2i$v=19$m=19456,t=2,p=1$" + salt + "$" + tag, "not an argon2id or bcrypt hash"},
		{"no parts", "$argon2id$", "not a whole argon2id hash"},
		{"old version", "$argon2id$v=16$m=19456,t=2,p=1$" + salt + "$" + tag, "another version"},
		{"order", argon("t=2,m=19456,p=1"), "in that order"},
		{"leading zero", argon("m=019456,t=2,p=1"), "not a plain number"},
		{"sign", argon("m=+19456,t=2,p=1"), "not a plain number"},
		{"overflow", argon("m=99999999999,t=2,p=1"), "not a plain number"},
		{"no lanes", argon("m=19456,t=2,p=0"), "p=0"},
		{"many lanes", argon("m=19456,t=2,p=255"), "p=255"},
		{"no passes", argon("m=19456,t=0,p=1"), "t=0"},
		{"4 GiB", argon("m=4194304,t=1,p=1"), "m=4194304"},
		{"a minute", argon("m=262144,t=64,p=1"), "costs too much"},
		{"weak", argon("m=7168,t=1,p=1"), "too weak"},
		{"small", argon("m=8,t=60,p=1"), "m=8"},
		{"short salt", "$argon2id$v=19$m=19456,t=2,p=1$c2E$" + tag, "salt"},
		{"padded salt", "$argon2id$v=19$m=19456,t=2,p=1$" + salt + "=$" + tag, "salt"},
		{"salt with stray bits", "$argon2id$v=19$m=19456,t=2,p=1$" + salt[:22] + "R$" + tag, "salt"},
		{"empty tag", "$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$", "tag"},
		{"bcrypt cost 4", "$2a$04$WH/xZV0U8exDr/Il/GOKOellmfwjmiXNIL5CDh9VyIXTCTVhjjy0C", "too weak"},
		{"bcrypt cost 31", "$2a$31$WH/xZV0U8exDr/Il/GOKOellmfwjmiXNIL5CDh9VyIXTCTVhjjy0C", "costs too much"},
		{"bcrypt cut off", cleoHash[:40], "60 characters"},
		{"bcrypt with junk", cleoHash[:59] + "\n", "60 characters"},
	}
	for _, c := range cases {
		_, err := parseHash(c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", c.name, err, c.want)
		}
		if err != nil && (strings.Contains(err.Error(), tag) || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("%s: the error shows the secret: %v", c.name, err)
		}
	}
	for _, good := range []string{annaHash, cleoHash, strings.Replace(cleoHash, "2a", "2y", 1), argon("m=47104,t=1,p=1"), argon("m=262144,t=3,p=4")} {
		if _, err := parseHash(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
}

func FuzzParseHash(f *testing.F) {
	f.Add(annaHash)
	f.Add(cleoHash)
	f.Add("$argon2id$v=19$m=1,t=1,p=1$$")
	f.Add("$argon2id$v=19$m=,t=,p=$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$2b$12$")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parseHash(text)
		if err != nil {
			return
		}
		if h.memory() > argonMaxMemory<<10 {
			t.Fatalf("%q would allocate %d bytes", text, h.memory())
		}
		if a, ok := h.(*argonHash); ok && (uint64(a.kib)*uint64(a.passes) > argonMaxWork || uint64(a.kib)*uint64(a.passes) < argonMinWork || len(a.tag) < 16) {
			t.Fatalf("%q is out of bounds", text)
		}
	})
}
