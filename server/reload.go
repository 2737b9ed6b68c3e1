package server

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// reloadable are the keys that Reload puts into effect. Every other one needs a restart.
func reloadable(path string) bool {
	return path == "log.level" || strings.HasPrefix(path, "auth.")
}

// Reload reads the sources again and puts into effect what can be without a
// restart: users, tokens, certificate rules and access rules, their key files,
// the TLS certificates, and the log level. It logs what has changed, and names
// what needs a restart. If anything is wrong with the new configuration, all of
// the old one stays in effect, and the error says why.
func (n *Node) Reload() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	err := n.reload()
	if err != nil {
		n.log.Error("reloading failed: the old configuration stays in effect", "error", err)
	}
	return err
}

func (n *Node) reload() error {
	next, err := Load(n.opts.Sources)
	if err != nil {
		return err
	}
	install, err := n.prepare(next)
	if err != nil {
		return err
	}
	changed := differences(n.config, next.Config)
	renewed := install()
	restart := slices.DeleteFunc(slices.Clone(changed), reloadable)
	applied := slices.DeleteFunc(changed, func(path string) bool { return !reloadable(path) })
	n.log.Info("reloaded", "changed", append([]string{}, applied...), "certificates", renewed)
	if len(restart) > 0 {
		n.log.Warn("these keys have changed and need a restart", "keys", restart)
	}
	return nil
}

// prepare does all of a reload that can fail, and changes nothing. The install
// that it returns cannot fail, so that a reload takes effect whole or not at all.
func (n *Node) prepare(next *Settings) (install func() (renewed []string), err error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(next.Log.Level)); err != nil {
		return nil, fmt.Errorf("log.level: %w", err)
	}
	rights, err := n.app.Auth().Prepare(next.Auth)
	if err != nil {
		return nil, err
	}
	certificates, err := n.prepareCertificates()
	if err != nil {
		return nil, err
	}
	return func() []string {
		rights()
		n.level.Set(level)
		n.config.Auth, n.config.Log.Level = next.Auth, next.Log.Level
		return certificates()
	}, nil
}

// prepareCertificates reads all certificates again. Its install returns the paths
// of those that are new.
func (n *Node) prepareCertificates() (install func() (renewed []string), err error) {
	var installs []func()
	var errs []error
	renewed := []string{} // an empty list is logged as one
	for files, certs := range n.certs {
		sum := files.sum()
		one, err := certs.Prepare()
		if err != nil {
			errs = append(errs, fmt.Errorf("the certificate %s, which listeners use until a restart, cannot be read again; put it back, or restart the server: %w", files.Cert, err))
			continue
		}
		if sum != certs.sum {
			renewed = append(renewed, files.Cert)
		}
		installs = append(installs, func() { one(); certs.sum = sum })
	}
	slices.Sort(renewed)
	return func() []string {
		for _, one := range installs {
			one()
		}
		return renewed
	}, errors.Join(errs...)
}
