package auth

import (
	"encoding/json"
	"testing"
)

// What is remembered decides by the rules of now.
func TestRecall(t *testing.T) {
	roles := func(filter string) map[string]Role { return map[string]Role{"r": {Publish: []string{filter}}} }
	hash, err := HashPassword(NewSecret("p"))
	if err != nil {
		t.Fatal(err)
	}
	anna := []User{{Name: "anna", Password: NewSecret(hash), Roles: []string{"r"}}}
	a, err := New(Config{Users: anna, Roles: roles("a/{client}/#")}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }()
	id, err := a.Password(t.Context(), Origin{}, "anna", NewSecret("p"))
	if err == nil {
		id, err = a.WithClient(Origin{}, id, "c1")
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(a.Remember(id))
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string, m Memory, subject string, want bool) {
		t.Helper()
		if got := a.CanPublish(a.Recall(m), subject); got != want {
			t.Errorf("%s: may publish on %s: %v, want %v", when, subject, got, want)
		}
	}
	var m Memory
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	card := Memory{User: "device", Method: MethodCertificate, Roles: []string{"r", "gone"}}
	check("at once", m, "a/c1/x", true)
	check("at once", m, "a/c2/x", false)
	check("open before", Memory{Method: MethodOpen}, "a/c1/x", false)
	check("nobody", Memory{}, "a/c1/x", false)
	if err := a.Reload(Config{Users: anna, Roles: roles("b/#")}); err != nil {
		t.Fatal(err)
	}
	check("rights changed", m, "a/c1/x", false)
	check("rights changed", m, "b/x", true)
	check("of a certificate", card, "b/x", true)
	anna[0].Name = "bert"
	if err := a.Reload(Config{Users: anna, Roles: roles("b/#")}); err != nil {
		t.Fatal(err)
	}
	check("the user is gone", m, "b/x", false)
}
