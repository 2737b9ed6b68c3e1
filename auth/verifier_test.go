package auth

import (
	"strings"
	"testing"
)

func TestHashSCRAM(t *testing.T) {
	text, err := HashSCRAM(NewSecret("pencil"), SCRAMIterations)
	if err != nil {
		t.Fatal(err)
	}
	v, err := parseVerifier(text)
	if err != nil || v.iterations != SCRAMIterations || !v.verify("pencil") || v.verify("Pencil") || v.verify("") {
		t.Errorf("%s: %+v, %v", text, v, err)
	}
	if again := must(HashSCRAM(NewSecret("pencil"), SCRAMIterations)); again == text {
		t.Error("two verifiers have the same salt")
	}
	for name, c := range map[string]struct {
		password   string
		iterations int
		want       string
	}{
		"empty":           {"", SCRAMIterations, "it is empty"},
		"long":            {strings.Repeat("x", maxPasswordBytes+1), SCRAMIterations, "1025 bytes"},
		"control":         {"a\x07", SCRAMIterations, "RFC 4013"},
		"no text":         {"\xff\xfe", SCRAMIterations, "not UTF-8"},
		"nothing is left": {"\u00ad", SCRAMIterations, "is empty after"},
		"few iterations":  {"pencil", scramMinIterations - 1, "4095 iterations"},
		"many iterations": {"pencil", scramMaxIterations + 1, "1000001 iterations"},
	} {
		text, err := HashSCRAM(NewSecret(c.password), c.iterations)
		if err == nil || text != "" || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "pencil") {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}

func TestVerifiersThatAreNone(t *testing.T) {
	parts := strings.Split(rfcVerifier, "$")
	salt := strings.TrimPrefix(parts[1], "4096:")
	for name, text := range map[string]string{
		"a password":       "hunter2",
		"another hash":     annaHash,
		"another kind":     strings.Replace(rfcVerifier, "256", "1", 1),
		"few iterations":   strings.Replace(rfcVerifier, "4096", "4095", 1),
		"many iterations":  strings.Replace(rfcVerifier, "4096", "1000001", 1),
		"too many digits":  strings.Replace(rfcVerifier, "4096", "99999999999999999999", 1),
		"a leading zero":   strings.Replace(rfcVerifier, "4096", "04096", 1),
		"no salt":          strings.Replace(rfcVerifier, salt, "", 1),
		"a short salt":     strings.Replace(rfcVerifier, salt, "AAAA", 1),
		"a long salt":      strings.Replace(rfcVerifier, salt, strings.Repeat("AAAA", 22), 1),
		"salt not base64":  strings.Replace(rfcVerifier, salt, "!", 1),
		"one key":          rfcVerifier[:strings.LastIndex(rfcVerifier, ":")],
		"a short key":      rfcVerifier[:len(rfcVerifier)-4],
		"a fourth part":    rfcVerifier + "$",
		"something behind": rfcVerifier + ":AAAA",
		"a line behind":    rfcVerifier + "\n$",
	} {
		v, err := parseVerifier(text)
		if err == nil || v != nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
		config := scramPeople()
		config.Users[3].SCRAM = NewSecret(text)
		if err := config.Validate(); err == nil || !strings.HasPrefix(err.Error(), "auth.users[3].scram: is ") {
			t.Errorf("%s in a configuration: %v", name, err)
		}
	}
}

// TestNamesForSCRAM: a name that clients would write otherwise could never log in.
func TestNamesForSCRAM(t *testing.T) {
	for name, want := range map[string]string{"ﬁx": `write the name "fix"`, "e\u0301": `write the name "é"`, "a\u05d0b": "mixes letters"} {
		config := scramPeople()
		config.Users[3].Name = name
		if err := config.Validate(); err == nil || !strings.HasPrefix(err.Error(), "auth.users[3].name: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestSASLprep has the examples of RFC 4013, section 3, first.
func TestSASLprep(t *testing.T) {
	for text, want := range map[string]string{
		"I\u00adX": "IX", "user": "user", "USER": "USER", "\u00aa": "a", "\u2168": "IX", "\u0007": "", "\u0627\u0031": "",
		"":              "",
		"a b":           "a b",
		"a\u00a0b":      "a b",
		"a\u3000b":      "a b",
		"e\u0301":       "é",
		"\u0627\u0628":  "\u0627\u0628",
		"\u0627a\u0628": "",
		"\u06271\u0628": "\u06271\u0628",
		"a\u200eb":      "",
		"a\ue000":       "",
		"a\ufdd0":       "",
		"a\U0010ffff":   "",
		"a\ufffd":       "",
		"a\U000e0041":   "",
		"a\u2028":       "",
		"a\u0085":       "",
		"a\x7f":         "",
		"\xff":          "",
		"😀":             "😀",
		"\u200d\ufe0f":  "",
	} {
		got, err := saslprep(text)
		if got != want && err == nil || (err == nil) != (want != "" || text == "") {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
}
