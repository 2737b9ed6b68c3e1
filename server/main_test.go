package server

import (
	"testing"

	"github.com/spate-io/spate/auth"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func user(name, hash string, roles ...string) auth.User {
	return auth.User{Name: name, Password: auth.NewSecret(hash), Roles: roles}
}
