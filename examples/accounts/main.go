// Accounts has request types of its own that only some users may send, and logs each of them:
//
//	redis-cli AUTH ada "correct horse"
//	redis-cli DEPOSIT 100
//	redis-cli BALANCE
//
// What every request type needs is written once, as a function around the function that answers.
package main

import (
	"context"
	"errors"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/protocol/resp"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	hash, err := auth.HashPassword(auth.NewSecret("correct horse")) // a program reads hashes from its configuration: spate hash-password makes them
	if err != nil {
		log.Fatal(err)
	}
	app := newApp(spate.Options{Auth: access(auth.NewSecret(hash)), Logger: slog.Default()})
	app.Listen("resp://127.0.0.1:6379") // Run reports what is wrong with it
	if err := app.Run(ctx); err != nil {
		log.Fatal(err)
	}
}

// access lets ada and bob in with one password. Only ada has the role that may deposit.
func access(hash auth.Secret) auth.Config {
	return auth.Config{
		Users: []auth.User{
			{Name: "ada", Password: hash, Roles: []string{"teller", "customer"}},
			{Name: "bob", Password: hash, Roles: []string{"customer"}},
		},
		Roles: map[string]auth.Role{"teller": {Publish: []string{"accounts/{user}/deposits"}}, "customer": {}},
	}
}

func newApp(o spate.Options) (app *spate.App) {
	accounts := &accounts{cents: map[string]int64{}}
	may := func(r *resp.Request) bool {
		return app.Auth().CanPublish(r.Identity(), "accounts/"+r.Identity().User()+"/deposits")
	}
	o.Commands = []resp.Command{
		{Name: "DEPOSIT", Arity: 2, Usage: "cents", Run: logged(o.Logger, allowed(may, accounts.deposit))},
		{Name: "BALANCE", Arity: 1, Run: logged(o.Logger, accounts.balance)},
	}
	app = spate.New(o)
	return app
}

// run is what answers a request.
type run = func(ctx context.Context, r *resp.Request) error

// logged logs who sent which request, how long it took, and what was wrong.
func logged(logger *slog.Logger, next run) run {
	return func(ctx context.Context, r *resp.Request) error {
		start := time.Now()
		err := next(ctx, r)
		logger.Info("request", "name", r.Name(), "user", r.Identity().User(), "from", r.Conn().RemoteString(), "took", time.Since(start), "error", err)
		return err
	}
}

// allowed answers only those who may. Who is not logged in does not come this far.
func allowed(may func(*resp.Request) bool, next run) run {
	return func(ctx context.Context, r *resp.Request) error {
		if !may(r) {
			return resp.Error("NOPERM this user may not deposit")
		}
		return next(ctx, r)
	}
}

// accounts is what each user has. Requests of several connections run at the same time.
type accounts struct {
	mu    sync.Mutex
	cents map[string]int64
}

func (a *accounts) deposit(_ context.Context, r *resp.Request) error {
	cents, err := r.Int(1)
	if err != nil || cents <= 0 {
		return errors.New("a deposit is a number of cents above 0")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cents[r.Identity().User()] += cents
	return nil // replies OK
}

func (a *accounts) balance(_ context.Context, r *resp.Request) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	r.Integer(a.cents[r.Identity().User()])
	return nil
}
