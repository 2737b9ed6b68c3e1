package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
)

// Options say which node, and who asks. The zero value but for Server is good.
type Options struct {
	// Server is a URL: http://HOST:PORT, https://HOST:PORT or http+unix:///PATH. Required.
	Server string
	// User and Password are sent as Authorization: Basic, if there is a user.
	User, Password string
	// Token is sent as Authorization: Bearer, if there is one.
	Token string
	// TLS is how https servers are verified. Default: with the system's authorities.
	TLS *tls.Config
}

// A Client talks to one node.
type Client struct {
	options Options
	base    url.URL
	http    http.Client
}

// New returns a client, which has not connected yet. Close it when done.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.Server)
	if err != nil || u.Opaque != "" || u.User != nil {
		return nil, fmt.Errorf("%q is not the URL of a server: write it as in http://127.0.0.1:8080", o.Server)
	}
	dialer := &net.Dialer{Timeout: dialTimeout}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSClientConfig: o.TLS, TLSHandshakeTimeout: dialTimeout,
	}
	switch u.Scheme {
	case "http+unix":
		path := u.Host + u.Path
		transport.Proxy = nil
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return dialer.DialContext(ctx, "unix", path) }
		u = &url.URL{Scheme: "http", Host: "localhost"}
	case "http+tls":
		u.Scheme = "https"
	case "http", "https":
	default:
		return nil, fmt.Errorf("%q is not the URL of a server: it must begin with http://, https:// or http+unix://", o.Server)
	}
	if u.Host == "" {
		return nil, fmt.Errorf("%q is not the URL of a server: it names no host", o.Server)
	}
	base := url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimRight(u.Path, "/")}
	return &Client{options: o, base: base, http: http.Client{Transport: transport, CheckRedirect: noRedirect}}, nil
}

// noRedirect keeps credentials where they belong: a node sends nobody elsewhere.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// A Problem is an answer that says no.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Index  *int   `json:"index"` // of the event of a batch
}

// Error implements error.
func (p *Problem) Error() string {
	switch {
	case p.Detail != "":
		return p.Detail
	case p.Title != "":
		return p.Title
	}
	return fmt.Sprintf("the server answered with status %d and no reason", p.Status)
}

// Misuse tells whether what was asked for is wrong, whatever there is on the server: its syntax, its configuration, its size.
func (p *Problem) Misuse() bool {
	switch p.Type[strings.LastIndexByte(p.Type, '/')+1:] {
	case "invalid-request", "invalid-place", "invalid-event", "invalid-configuration", "unsupported-media-type", "too-large":
		return true
	}
	return false
}

// permanent tells whether asking again is no use.
func (p *Problem) permanent() bool {
	return p.Status >= 400 && p.Status < 500 && p.Status != http.StatusTooManyRequests && p.Status != http.StatusRequestTimeout
}

// A Request is one call of the API.
type Request struct {
	Method string
	Path   []string // its parts, not escaped, below /v1/; those of a subject have slashes in them
	Query  url.Values
	Header http.Header
	Body   any // sent as JSON; []byte as it is; nil is none
}

// Do calls the API and reads the answer, which is JSON, into a value, unless that is nil.
func (c *Client) Do(ctx context.Context, r Request, into any) error {
	answer, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	switch {
	case err != nil:
		return c.unreachable(ctx, err)
	case len(text) > maxAnswer:
		return fmt.Errorf("the answer of %s has more than %d bytes", c.options.Server, maxAnswer)
	case into == nil || len(text) == 0:
		return nil
	}
	if raw, ok := into.(*json.RawMessage); ok {
		*raw = bytes.TrimSpace(text)
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s does not answer as a node of Spate does: is it one? (%w)", c.options.Server, err)
	}
	return nil
}

// Read calls the API and has the answer read by use, to its end. It fails if the answer is cut short, and with the error of use.
func (c *Client) Read(ctx context.Context, r Request, use func(io.Reader) error) error {
	answer, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	from := &noticing{Reader: answer.Body}
	err = use(from)
	if reason := answer.Trailer.Get("Spate-Error"); reason != "" && !from.failed {
		return errors.New(reason)
	}
	if from.failed {
		return fmt.Errorf("the answer of %s ended early, and its log says why: %w", c.options.Server, err)
	}
	return err
}

// noticing tells a reader that failed from a writer that did.
type noticing struct {
	io.Reader
	failed bool
}

// Read implements io.Reader.
func (n *noticing) Read(p []byte) (int, error) {
	k, err := n.Reader.Read(p)
	n.failed = err != nil && err != io.EOF
	return k, err
}

// send sends a request and returns an answer that says yes. The caller closes its body.
func (c *Client) send(ctx context.Context, r Request) (*http.Response, error) {
	request, err := c.request(ctx, r)
	if err != nil {
		return nil, err
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if answer.StatusCode < http.StatusMultipleChoices {
		return answer, nil
	}
	defer answer.Body.Close()
	return nil, c.problem(answer)
}

func (c *Client) request(ctx context.Context, r Request) (*http.Request, error) {
	u := c.base
	u.Path += "/v1/" + strings.Join(r.Path, "/")
	escaped := make([]string, len(r.Path))
	for i, part := range r.Path {
		escaped[i] = url.PathEscape(part)
		if part == "." || part == ".." { // which stand for something else where they are not escaped
			escaped[i] = strings.ReplaceAll(part, ".", "%2E")
		}
	}
	u.RawPath = c.base.Path + "/v1/" + strings.Join(escaped, "/")
	u.RawQuery = r.Query.Encode()
	var body io.Reader
	switch b := r.Body.(type) {
	case nil:
	case []byte:
		body = bytes.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, u.String(), body)
	if err != nil {
		return nil, err
	}
	if _, raw := r.Body.([]byte); body != nil && !raw {
		request.Header.Set("Content-Type", "application/json")
	}
	for name, values := range r.Header {
		request.Header[name] = values
	}
	switch {
	case c.options.Token != "":
		request.Header.Set("Authorization", "Bearer "+c.options.Token)
	case c.options.User != "":
		request.SetBasicAuth(c.options.User, c.options.Password)
	}
	return request, nil
}

// problem reads an answer that says no.
func (c *Client) problem(answer *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxProblem))
	p := &Problem{}
	if err == nil && strings.HasPrefix(answer.Header.Get("Content-Type"), "application/problem+json") {
		err = json.Unmarshal(text, p)
	}
	if err != nil || p.Title == "" {
		p.Detail = fmt.Sprintf("%s answered with status %d and is perhaps no node of Spate", c.options.Server, answer.StatusCode)
	}
	p.Status = answer.StatusCode
	if p.Status == http.StatusUnauthorized && c.options.User == "" && c.options.Token == "" {
		p.Detail += "; say who you are with --user and --password-file, or --token-file"
	}
	return p
}

// unreachable says that there was no answer, and what to look at.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	failed, noAnswer := errors.AsType[*url.Error](err)
	if noAnswer {
		err = failed.Err
	}
	hint := ""
	var unknown *tls.CertificateVerificationError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOENT):
		hint = ": does a node run there? Name another one with --server"
	case errors.As(err, &unknown):
		hint = ": name the authority of its certificate with --ca"
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		hint = ": it speaks http, not https"
	case noAnswer && c.base.Scheme == "http" && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)): // what a node does that awaits TLS
		hint = ": it hangs up; if it speaks https, write --server https://" + c.base.Host
	}
	return fmt.Errorf("cannot reach %s%s (%w)", c.options.Server, hint, err)
}
