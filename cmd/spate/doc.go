// Spate is an event-driven server: connections in, events through, reactions out.
//
// # Manners of the command
//
// What a program may want to read goes to standard output: what serve listens
// on, configurations, hashes, versions. The log and errors go to standard error.
// Exit codes: 0 done; 1 something failed while running, or a shutdown cut
// something off, or what the command names is not there or in the way; 2 the
// command line, the configuration or a listener is wrong, also when only the node
// finds that out, and one sentence for each thing says what to mend.
//
// Secrets are read from the terminal without echo, from standard input or from a
// file, never from arguments, which other users of the machine can see.
//
// serve drains on the first SIGTERM or SIGINT and exits at once on the second.
// SIGHUP reads the configuration again. Nothing asks questions, nothing phones
// home, and nothing but the data directory is written to.
package main
