package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/auth"
)

func TestAccounts(t *testing.T) {
	hash, err := auth.HashPassword(auth.NewSecret("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	app := newApp(spate.Options{Auth: access(auth.NewSecret(hash)), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	addr, err := app.Listen("resp://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx) }()
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for _, x := range []struct{ say, want string }{
		{"BALANCE", "-NOAUTH"},
		{`AUTH ada wrong`, "-WRONGPASS"},
		{`AUTH ada "correct horse"`, "+OK"},
		{"DEPOSIT 100", "+OK"},
		{"DEPOSIT -5", "-ERR a deposit is a number of cents above 0"},
		{"BALANCE", ":100"},
		{`AUTH bob "correct horse"`, "+OK"},
		{"DEPOSIT 1", "-NOPERM"},
		{"BALANCE", ":0"},
	} {
		fmt.Fprint(c, x.say, "\r\n")
		if got, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(got, x.want) {
			t.Errorf("%s: got %q and %v, want %q", x.say, got, err, x.want)
		}
	}
	c.Close()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for _, want := range []string{"name=DEPOSIT user=ada", "name=BALANCE user=bob", "NOPERM"} {
		if !strings.Contains(strings.ToUpper(log.String()), strings.ToUpper(want)) {
			t.Errorf("the log lacks %q:\n%s", want, log.String())
		}
	}
}
