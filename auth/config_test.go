package auth

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// TestExample reads the configuration that the package comment shows.
func TestExample(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for line := range strings.Lines(string(doc)) {
		if code, ok := strings.CutPrefix(line, "//\t"); ok {
			text.WriteString(code)
		}
	}
	var file struct {
		Auth Config `yaml:"auth"`
	}
	decoder := yaml.NewDecoder(strings.NewReader(text.String()))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	if err := file.Auth.Validate(); err != nil {
		t.Error(err)
	}
	c := file.Auth
	if len(c.Users) != 1 || len(c.Tokens) != 1 || len(c.Certificates) != 1 || len(c.Roles) != 3 || !c.Roles["operator"].Admin {
		t.Errorf("the example was not read whole: %+v", c)
	}
	var out bytes.Buffer
	if err := yaml.NewEncoder(&out).Encode(c); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "argon2id") || !strings.Contains(out.String(), "password: '***'") {
		t.Errorf("the effective configuration shows secrets: %s", out.String())
	}
}

// TestEmptyAccessFile is the hostile one: whatever is left empty, nobody gets in by it.
func TestEmptyAccessFile(t *testing.T) {
	for _, text := range []string{"roles: {}", "users: []", "tokens: []", "certificates: []", "users: [{name: anna, password: '" + annaHash + "'}]", "users: [{name: anna, password: '" + annaHash + "'}]\nroles:\n"} {
		var c Config
		if err := yaml.Unmarshal([]byte(text), &c); err != nil {
			t.Fatal(err)
		}
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "auth.roles: there is no role") {
			t.Errorf("%s: %v", text, err)
		}
	}
	var nothing Config
	if err := nothing.Validate(); err != nil || nothing.configured() {
		t.Errorf("no configuration is not accepted as none: %v", err)
	}
}

// TestValidateNamesEverything: all errors at once, each with the path of its key.
func TestValidateNamesEverything(t *testing.T) {
	dir := t.TempDir()
	private := filepath.Join(dir, "private.pem")
	if err := os.WriteFile(private, []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config := Config{
		Users: []User{
			{Name: "anna", Password: NewSecret(annaHash), Roles: []string{"operator", "nobody"}},
			{Name: "anna", Password: NewSecret("hunter2")},
			{Name: "b/#"},
			{Name: "anna", Password: NewSecret(annaHash)},
		},
		Tokens: []Issuer{
			{KeysFile: private, KeysURL: "https://x"},
			{Issuer: "i", Audience: []string{""}, KeysURL: "http://id.example.com/keys", Algorithms: []string{"RS256", "none", "HS256"}, Leeway: time.Hour, KeysTTL: time.Second, UserPrefix: "a/"},
			{Issuer: "i", Audience: []string{"a"}, KeysFile: private, Roles: []string{"x"}},
			{Issuer: "j", Audience: []string{"a"}, KeysFile: filepath.Join(dir, "missing")},
			{Issuer: "k", Audience: []string{"a"}, KeysURL: "https://user:hunter2@id.example.com/"},
		},
		Certificates: []CertificateRule{
			{User: "x"},
			{DNS: "a", Email: "b", User: "x"},
			{DNS: "*.*", User: "{match}"},
			{DNS: "a.example.com", User: "{match}"},
			{SHA256: "abc", User: "x"},
			{CommonName: "x", User: "a+b"},
			{CommonName: "x"},
			{URI: "spiffe://x/*", User: "{name}"},
			{CommonName: "x", User: "y", Roles: []string{"gone"}},
		},
		Roles: map[string]Role{
			"operator": {Publish: []string{"a/#/b", "a+", "{nobody}/x", "{user}/#", strings.Repeat("x", 2000)}, Subscribe: []string{"", "#"}},
			"a/b":      {},
			"many":     {Publish: make([]string, maxFilters+1)},
			"clients":  {Clients: []string{"", "a*b*", "{client}", "{user}-*", "a}"}, Publish: []string{"$x-{user}/a", "/{client}", "{user}{client}{client"}},
			"none":     {Clients: []string{}},
		},
		PasswordCache: -time.Second,
		Tries:         Tries{Burst: -1, Every: 2 * time.Hour},
	}
	err := config.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	want := []string{
		"auth.roles: the role name", "auth.roles.clients.clients[0]:", "auth.roles.clients.clients[1]:", "auth.roles.clients.clients[2]:", "auth.roles.clients.clients[4]:",
		"auth.roles.clients.publish[0]:", "auth.roles.clients.publish[2]:", "auth.roles.none.clients: is empty", "auth.roles.many.publish: has 1025",
		"auth.roles.operator.publish[0]:", "auth.roles.operator.publish[1]:", "auth.roles.operator.publish[2]:", "auth.roles.operator.publish[4]:", "auth.roles.operator.subscribe[0]:",
		"auth.users[0].roles[1]:", "auth.users[1].name:", "auth.users[1].password: is not an argon2id", "auth.users[2].name:", "auth.users[2].password: is empty", "auth.users[3].name:",
		"auth.tokens[0].issuer:", "auth.tokens[0].audience:", "auth.tokens[0]: exactly one",
		"auth.tokens[1].audience:", "auth.tokens[1].leeway:", "auth.tokens[1].user_prefix:", "auth.tokens[1].algorithms[1]:", "auth.tokens[1].algorithms[2]:", "auth.tokens[1].keys_ttl:", "auth.tokens[1].keys_url: must be https",
		"auth.tokens[2].issuer:", "auth.tokens[2].roles[0]:", "auth.tokens[2].keys_file: reading public keys",
		"auth.tokens[3].keys_file:", "auth.tokens[4].keys_url:",
		"auth.certificates[0]:", "auth.certificates[1]:", "auth.certificates[2]:", "auth.certificates[3]:", "auth.certificates[4]:", "auth.certificates[5]:", "auth.certificates[6]:", "auth.certificates[7]:", "auth.certificates[8].roles[0]:",
		"auth.password_cache:", "auth.tries.burst:", "auth.tries.every:",
	}
	lines := strings.Split(err.Error(), "\n")
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("there is no error at %s", w)
		}
	}
	if len(lines) != len(want) {
		t.Errorf("there are %d errors, want %d:\n%v", len(lines), len(want), err)
	}
	if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), annaHash) {
		t.Errorf("an error shows a secret: %v", err)
	}
	if again := config.Validate(); again.Error() != err.Error() {
		t.Error("the order of the errors changes")
	}
}
