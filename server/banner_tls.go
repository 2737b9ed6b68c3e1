package server

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"strings"
)

// A trust is what clients have to be told about the certificate of a listener.
type trust struct {
	ca     string // a file with what has signed it
	host   string // one of its names
	exact  bool   // host is a name of it; otherwise clients cannot check the name
	client bool   // they need one of their own
}

// unknownCA is the file in commands to try, if what has signed the certificate is none that the configuration names.
const unknownCA = "CA.pem"

// trustOf returns what clients need to know that want to reach a listener at a host.
func trustOf(files TLS, host string) trust {
	t := trust{ca: unknownCA, host: host, client: files.RequireClient}
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		return t // it was loaded at the start, and is being replaced
	}
	leaf := pair.Leaf
	switch {
	case bytes.Equal(leaf.RawIssuer, leaf.RawSubject) && leaf.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature) == nil:
		t.ca = files.Cert
	case files.ClientCA != "" && signedBy(pair, files.ClientCA):
		t.ca = files.ClientCA
	}
	if t.exact = leaf.VerifyHostname(host) == nil; t.exact {
		return t
	}
	names := leaf.DNSNames
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	for _, name := range names {
		if !strings.Contains(name, "*") {
			t.host, t.exact = name, true
			break
		}
	}
	return t
}

// signedBy tells whether one of the authorities in a file has signed a certificate.
func signedBy(pair tls.Certificate, file string) bool {
	text, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	for _, der := range pair.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(c)
		}
	}
	_, err = pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between})
	return err == nil
}

// arguments are those for a client, whose options for the authority and for not checking the name are given. The rest has the same names everywhere.
func (t trust) arguments(authority, unchecked string) string {
	args := " " + authority + " " + t.ca
	if !t.exact {
		args += " " + unchecked
	}
	if t.client {
		args += " --cert CLIENT.pem --key CLIENT.key"
	}
	return args
}

// at is the address of a client that reaches a listener by that name.
func (t trust) at(addr net.Addr) string {
	if _, port, err := net.SplitHostPort(addr.String()); err == nil {
		return net.JoinHostPort(t.host, port)
	}
	return addr.String()
}
