// Greet is a server with one request type of its own beside the built-in ones. Its handler may block as long as it likes;
// requests of one connection run in order, those of several connections at the
// same time. It answers over the Redis serialization protocol, so redis-cli is
// a client.
package main
