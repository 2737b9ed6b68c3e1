package server

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A reload takes effect whole or not at all: a certificate in use that is gone
// keeps the new rights, and the new level, from being installed.
func TestReloadIsWhole(t *testing.T) {
	h, old, moved := hash(t), t.TempDir(), t.TempDir()
	cert, key := writeCertificate(t, old, "localhost")
	newCert, newKey := writeCertificate(t, moved, "localhost")
	text := func(cert, key, role, level string) string {
		return "listen: [resp://127.0.0.1:0, resp+tls://127.0.0.1:0]\ntls: {cert: " + cert + ", key: " + key + "}\nlog: {level: " + level + "}\n" +
			"auth:\n  users: [{name: anna, password: '" + h + "', roles: [" + role + "]}]\n  roles: {news: {publish: [news]}, none: {}}\n"
	}
	k := start(t, text(cert, key, "news", "info"))
	c := k.dial("resp")
	c.ask("AUTH anna secret")
	generation := k.App().Auth().Generation()
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	k.rewrite(text(newCert, newKey, "none", "debug"))
	if err := k.Reload(); err == nil || !strings.Contains(err.Error(), filepath.Join(old, "cert.pem")+", which listeners use until a restart") {
		t.Fatalf("the certificate in use is gone: %v", err)
	}
	k.log.message(t, "reloading failed: the old configuration stays in effect")
	if got := c.ask("PUBLISH news x"); got != ":0" {
		t.Errorf("a reload that failed changed the rights: %q", got)
	}
	if k.level.Level() != slog.LevelInfo || k.config.Log.Level != "info" || k.App().Auth().Generation() != generation {
		t.Errorf("a reload that failed changed the level to %s, or the generation", k.level.Level())
	}
	writeCertificate(t, old, "localhost")
	if err := k.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := c.ask("PUBLISH news x"); !strings.HasPrefix(got, "-NOPERM") || k.level.Level() != slog.LevelDebug {
		t.Errorf("a reload that succeeded left the old rights or level: %q, %s", got, k.level.Level())
	}
}
