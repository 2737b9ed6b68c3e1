package server

import (
	"errors"
	"fmt"
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
	changed := differences(n.config, next.Config)
	if err := n.app.Auth().Reload(next.Auth); err != nil {
		return err
	}
	n.config.Auth = next.Auth
	if err := n.level.UnmarshalText([]byte(next.Log.Level)); err != nil {
		return fmt.Errorf("log.level: %w", err)
	}
	n.config.Log.Level = next.Log.Level
	renewed, errs := n.reloadCertificates()
	restart := slices.DeleteFunc(slices.Clone(changed), reloadable)
	applied := slices.DeleteFunc(changed, func(path string) bool { return !reloadable(path) })
	n.log.Info("reloaded", "changed", append([]string{}, applied...), "certificates", renewed)
	if len(restart) > 0 {
		n.log.Warn("these keys have changed and need a restart", "keys", restart)
	}
	return errors.Join(errs...)
}

// reloadCertificates reads all certificates again and returns the paths of those
// that are new.
func (n *Node) reloadCertificates() (renewed []string, errs []error) {
	renewed = []string{} // an empty list is logged as one
	for files, certs := range n.certs {
		sum := files.sum()
		if err := certs.Reload(); err != nil {
			errs = append(errs, fmt.Errorf("the old certificate %s stays in use: %w", files.Cert, err))
			continue
		}
		if sum != certs.sum {
			certs.sum = sum
			renewed = append(renewed, files.Cert)
		}
	}
	slices.Sort(renewed)
	return renewed, errs
}
