// Package server is a node: an App of package spate made from a configuration,
// that can be reloaded while it runs.
//
// # The way of a start
//
// [Load] reads the sources, of which later ones win: defaults, file,
// environment, flags. It is strict: a key that does not exist, or is there
// twice, or has a value of the wrong kind, is an error with file, line and key,
// and all errors are reported at once. What can be known without opening a
// listener is checked there too: URLs, certificates, key files, access rules, and
// listeners that strangers could use. [New] then takes the lock of the data
// directory and opens every listener, so that nothing is served unless all can
// be. [Node.Run] serves until its context ends, drains, and closes everything.
//
// # Reload
//
// [Node.Reload] reads the sources again, and puts into effect who may do what, the
// certificates and the log level. It names the keys that need a restart. With
// anything wrong, what was in effect stays in effect, wholly.
//
// # Secrets
//
// [Settings.Print] prints a configuration in which every secret is ***. No log
// line and no error holds one.
//
// # Concurrency
//
// Reload may be called at any time from any goroutine, also while the node
// drains. Everything else is called once, in the order above. Nothing here
// blocks but Run, and name look-ups while listeners are opened.
package server
