package engine

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
)

// CertificateFiles name the PEM files of a TLS listener.
type CertificateFiles struct {
	// Cert is the server's certificate chain, leaf first; Key its private key.
	Cert, Key string
	// ClientCA holds the authorities whose client certificates are verified.
	// Empty: clients are not asked for one.
	ClientCA string
	// RequireClient refuses clients without a certificate of ClientCA.
	// Otherwise one is verified if it is given.
	RequireClient bool
	// MinVersion is tls.VersionTLS12 or tls.VersionTLS13. Default: TLS 1.2.
	MinVersion uint16
}

// Certificates are TLS certificates that can be loaded again while they are in
// use. Connections that exist keep what they were opened with.
type Certificates struct {
	files   CertificateFiles
	current atomic.Pointer[tls.Config]
}

// LoadCertificates reads the files and checks that they fit together.
func LoadCertificates(files CertificateFiles) (*Certificates, error) {
	c := &Certificates{files: files}
	if err := c.Reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// Reload reads the files again. If anything is wrong with them it returns an
// error, and what was loaded before stays in use.
func (c *Certificates) Reload() error {
	install, err := c.Prepare()
	if err != nil {
		return err
	}
	install()
	return nil
}

// Prepare does of Reload what can fail: it reads and checks the files. What was
// loaded before stays in use until install is called, which need not happen.
func (c *Certificates) Prepare() (install func(), err error) {
	conf, err := c.files.load()
	if err != nil {
		return nil, err
	}
	return func() { c.current.Store(conf) }, nil
}

// load reads the files and checks that they fit together.
func (f *CertificateFiles) load() (*tls.Config, error) {
	if f.Cert == "" || f.Key == "" {
		return nil, errors.New("a TLS listener needs a certificate file and a key file")
	}
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, fmt.Errorf("loading the certificate %s with the key %s: %w", f.Cert, f.Key, err)
	}
	conf := &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   max(f.MinVersion, tls.VersionTLS12),
	}
	if f.ClientCA != "" {
		pem, err := os.ReadFile(f.ClientCA)
		if err != nil {
			return nil, fmt.Errorf("loading the client authorities: %w", err)
		}
		conf.ClientCAs = x509.NewCertPool()
		if !conf.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("loading the client authorities: %s holds no certificate in PEM form", f.ClientCA)
		}
		conf.ClientAuth = tls.VerifyClientCertIfGiven
		if f.RequireClient {
			conf.ClientAuth = tls.RequireAndVerifyClientCert
		}
	} else if f.RequireClient {
		return nil, errors.New("requiring client certificates needs a file of the authorities that sign them")
	}
	return conf, nil
}

// Config returns a configuration that uses what is loaded at the time of each
// handshake.
func (c *Certificates) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return c.current.Load(), nil
		},
	}
}
