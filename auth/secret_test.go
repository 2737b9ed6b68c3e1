package auth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestSecretNeverPrints(t *testing.T) {
	const text = "hunter2"
	s := NewSecret(text)
	type hiding struct{ inner Secret }
	values := map[string]any{
		"value": s, "pointer": &s, "unexported field": hiding{s}, "pointer to it": &hiding{s},
		"slice": []Secret{s}, "map": map[string]Secret{"k": s}, "interface": any(s),
		"user": User{Name: "anna", Password: s}, "config": Config{Users: []User{{Password: s}}},
	}
	for name, value := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%b", "%t", "%p", "%08.3f", "%!"} {
			if out := fmt.Sprintf(verb, value); leaks(out, text) {
				t.Errorf("%s of a %s prints %s", verb, name, out)
			}
		}
		for kind, out := range marshaled(t, value) {
			if leaks(out, text) {
				t.Errorf("%s of a %s is %s", kind, name, out)
			}
		}
	}
	if got := fmt.Sprintf("%v %s %q %+v %#v %x", s, s, s, s, s, s); got != "*** *** *** *** *** ***" {
		t.Errorf("a secret prints as %s", got)
	}
	if got := fmt.Sprint(Secret{}); got != "" {
		t.Errorf("no secret prints as %q", got)
	}
}

func leaks(out, text string) bool {
	return strings.Contains(out, text) || strings.Contains(strings.ToLower(out), fmt.Sprintf("%x", text))
}

func marshaled(t *testing.T, value any) map[string]string {
	t.Helper()
	j, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	y, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var text, lines bytes.Buffer
	slog.New(slog.NewTextHandler(&text, nil)).Info("m", "v", value)
	slog.New(slog.NewJSONHandler(&lines, nil)).Info("m", "v", value)
	return map[string]string{"JSON": string(j), "YAML": string(y), "slog text": text.String(), "slog JSON": lines.String()}
}

func TestSecretReads(t *testing.T) {
	var u User
	if err := yaml.Unmarshal([]byte("name: anna\npassword: "+annaHash), &u); err != nil {
		t.Fatal(err)
	}
	if u.Password.Reveal() != annaHash {
		t.Error("a secret from YAML is not the text that was there")
	}
	if !u.Password.Equal(NewSecret(annaHash)) || u.Password.Equal(NewSecret(bertHash)) || u.Password.Equal(Secret{}) {
		t.Error("Equal does not compare texts")
	}
	if !(Secret{}).Equal(NewSecret("")) || !NewSecret("").IsZero() || u.Password.IsZero() {
		t.Error("an empty secret is not like no secret")
	}
}
