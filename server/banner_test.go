package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The commands to try name what has signed the certificate only where that is known, and a name that the certificate has.
func TestTrust(t *testing.T) {
	dir := t.TempDir()
	ca := authority(t, dir, "ca")
	other := authority(t, dir, "other")
	self, selfKey := writeCertificate(t, t.TempDir(), "node.example")
	named := ca.sign(t, "named", &x509.Certificate{DNSNames: []string{"*.example", "node.example"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	nameless := ca.sign(t, "nameless", &x509.Certificate{DNSNames: []string{"*.example"}})
	for name, tc := range map[string]struct {
		files TLS
		host  string
		want  string
	}{
		"it signs itself":            {TLS{Cert: self, Key: selfKey}, "127.0.0.1", "node.example --cafile " + self},
		"an authority that is known": {TLS{Cert: named.cert, Key: named.key, ClientCA: ca.cert}, "127.0.0.1", "127.0.0.1 --cafile " + ca.cert},
		"another address":            {TLS{Cert: named.cert, Key: named.key, ClientCA: ca.cert}, "127.0.0.2", "node.example --cafile " + ca.cert},
		"one that signs clients":     {TLS{Cert: named.cert, Key: named.key, ClientCA: other.cert, RequireClient: true}, "127.0.0.1", "127.0.0.1 --cafile CA.pem --cert CLIENT.pem --key CLIENT.key"},
		"none, and no name":          {TLS{Cert: nameless.cert, Key: nameless.key}, "127.0.0.1", "127.0.0.1 --cafile CA.pem --insecure"},
		"it cannot be read now":      {TLS{Cert: "missing", Key: "missing"}, "127.0.0.1", "127.0.0.1 --cafile CA.pem --insecure"},
	} {
		if got := trustOf(tc.files, tc.host); got.host+got.arguments("--cafile", "--insecure") != tc.want {
			t.Errorf("%s: got %s%s, want %s", name, got.host, got.arguments("--cafile", "--insecure"), tc.want)
		}
	}
}

// A pair is a certificate with its key, in files.
type pair struct {
	dir       string
	cert, key string
	template  *x509.Certificate
	private   *ecdsa.PrivateKey
}

// authority makes one that signs others.
func authority(t *testing.T, dir, name string) *pair {
	t.Helper()
	p := &pair{dir: dir}
	p.template = &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	return p.sign(t, name, p.template)
}

// sign makes a certificate that p has signed, or itself if p has no key yet.
func (p *pair) sign(t *testing.T, name string, template *x509.Certificate) *pair {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	template.Subject.CommonName = name
	signer := p.private
	if signer == nil {
		signer = private
	}
	der, err := x509.CreateCertificate(rand.Reader, template, p.template, &private.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	out := &pair{dir: p.dir, cert: filepath.Join(p.dir, name+".pem"), key: filepath.Join(p.dir, name+".key"), template: template, private: private}
	for path, block := range map[string]*pem.Block{out.cert: {Type: "CERTIFICATE", Bytes: der}, out.key: {Type: "PRIVATE KEY", Bytes: text}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return out
}
