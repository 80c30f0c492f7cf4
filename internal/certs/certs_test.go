package certs_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/certs"
)

// pair is a certificate that its own key has signed, PEM.
type pair struct{ chain, key []byte }

func newPair(t testing.TB, name string, ends time.Time) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: ends.Add(-24 * time.Hour), NotAfter: ends, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pair{
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}
}

// place writes a pair to dir and says where it is.
func (p pair) place(t testing.TB, dir string) certs.Files {
	t.Helper()
	f := certs.Files{Chain: filepath.Join(dir, "chain.pem"), Key: filepath.Join(dir, "key.pem")}
	write(t, f.Chain, p.chain)
	write(t, f.Key, p.key)
	return f
}

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

var (
	now  = time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	next = now.Add(90 * 24 * time.Hour)
)

func TestNewPairTakesThePlaceOfTheOld(t *testing.T) {
	dir := t.TempDir()
	f := newPair(t, "one.example", next).place(t, dir)
	k, err := certs.NewKeeper(f)
	if err != nil {
		t.Fatal(err)
	}
	if renewed, err := k.Look(now); renewed || err != nil {
		t.Errorf("unchanged: %v, %v", renewed, err)
	}
	newPair(t, "two.example", next.Add(time.Hour)).place(t, dir)
	if renewed, err := k.Look(now); !renewed || err != nil {
		t.Errorf("changed: %v, %v", renewed, err)
	}
	if p := k.Current(); p.Names[0] != "two.example" || !p.NotAfter.Equal(next.Add(time.Hour)) {
		t.Errorf("in force is %v until %v", p.Names, p.NotAfter)
	}
	if k.Renewed() != 1 || k.Refused() != 0 {
		t.Errorf("%d renewed, %d refused", k.Renewed(), k.Refused())
	}
	got, err := k.Config(tls.VersionTLS12).GetCertificate(nil)
	if err != nil || got != k.Current().Certificate {
		t.Errorf("the configuration presents another one: %v", err)
	}
}

func TestBadPairLeavesTheOldInForceAndIsToldOnce(t *testing.T) {
	good, other := newPair(t, "good.example", next), newPair(t, "other.example", next)
	for name, c := range map[string]struct {
		bad  pair
		want string
	}{
		"not PEM":           {pair{[]byte("nonsense"), good.key}, "certificate"},
		"empty":             {pair{nil, nil}, "certificate"},
		"the key of others": {pair{good.chain, other.key}, "private key"},
		"half replaced":     {pair{other.chain, good.key}, "private key"},
		"expired":           {newPair(t, "old.example", now.Add(-time.Hour)), "has expired"},
		"too long":          {pair{make([]byte, 2<<20), good.key}, "longer than 1 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			f := good.place(t, dir)
			k, err := certs.NewKeeper(f)
			if err != nil {
				t.Fatal(err)
			}
			c.bad.place(t, dir)
			if renewed, err := k.Look(now); renewed || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, %v, want %q", renewed, err, c.want)
			}
			if renewed, err := k.Look(now); renewed || err != nil {
				t.Errorf("told again: %v, %v", renewed, err)
			}
			if k.Current().Names[0] != "good.example" || k.Refused() != 1 {
				t.Errorf("in force is %v, %d refused", k.Current().Names, k.Refused())
			}
			if err := os.Remove(f.Chain); err != nil {
				t.Fatal(err)
			}
			if _, err := k.Look(now); err == nil {
				t.Error("a file that has gone is not told")
			}
			good.place(t, dir)
			if renewed, err := k.Look(now); renewed || err != nil {
				t.Errorf("back: %v, %v", renewed, err)
			}
			c.bad.place(t, dir)
			if _, err := k.Look(now); err == nil {
				t.Error("bad again after it was good, and not told")
			}
		})
	}
}

// A server whose certificate has expired goes on with it: to end would help nobody.
func TestExpiredPairIsServedIfThereIsNoBetterOne(t *testing.T) {
	k, err := certs.NewKeeper(newPair(t, "old.example", now.Add(-time.Hour)).place(t, t.TempDir()))
	if err != nil || k.Current().NotAfter.After(now) {
		t.Fatal(err)
	}
}

func TestKeysOfEveryForm(t *testing.T) {
	for name, c := range map[string]struct{ file, password, want string }{
		"PBES2 with SHA-256 and AES-256": {"aes256.pem", "secret", ""},
		"with SHA-1 and AES-128":         {"aes128-sha1.pem", "secret", ""},
		"with SHA-512 and AES-192":       {"aes192-sha512.pem", "secret", ""},
		"a wrong password":               {"aes256.pem", "wrong", "password is wrong"},
		"no password":                    {"aes256.pem", "", "want its password"},
		"scrypt":                         {"scrypt.pem", "secret", "not supported"},
		"PBES1":                          {"pbes1.pem", "secret", "not supported"},
		"3DES":                           {"des3.pem", "secret", "not supported"},
		"OpenSSL's old form":             {"traditional.pem", "secret", "openssl pkcs8 -topk8"},
		"a password for nothing":         {"plain.pem", "secret", "not encrypted"},
		"not encrypted":                  {"plain.pem", "", ""},
		"PKCS #1":                        {"pkcs1.pem", "", ""},
		"SEC 1":                          {"sec1.pem", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			key, err := os.ReadFile(filepath.Join("testdata", c.file))
			if err != nil {
				t.Fatal(err)
			}
			chain, err := os.ReadFile(filepath.Join("testdata", "rsa.crt"))
			if c.file == "sec1.pem" {
				chain, err = os.ReadFile(filepath.Join("testdata", "ec.crt"))
			}
			if err != nil {
				t.Fatal(err)
			}
			f := pair{chain, key}.place(t, t.TempDir())
			f.Password = c.password
			_, err = f.Load()
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestClientsProveThemselvesToTheCAInForce(t *testing.T) {
	dir := t.TempDir()
	f := newPair(t, "x.example", next).place(t, dir)
	f.ClientCAs = filepath.Join(dir, "ca.pem")
	write(t, f.ClientCAs, []byte("nonsense"))
	if _, err := certs.NewKeeper(f); err == nil || !strings.Contains(err.Error(), "client CAs") {
		t.Errorf("nonsense for a CA: %v", err)
	}
	write(t, f.ClientCAs, newPair(t, "one", next).chain)
	k, err := certs.NewKeeper(f)
	if err != nil {
		t.Fatal(err)
	}
	config := k.Config(tls.VersionTLS13)
	first, err := config.GetConfigForClient(nil)
	if err != nil || first.ClientAuth != tls.RequireAndVerifyClientCert || !first.SessionTicketsDisabled || first.ClientCAs == nil {
		t.Fatalf("%+v, %v", first, err)
	}
	write(t, f.ClientCAs, newPair(t, "two", next).chain)
	if renewed, err := k.Look(now); !renewed || err != nil {
		t.Fatalf("%v, %v", renewed, err)
	}
	if second, _ := config.GetConfigForClient(nil); second.ClientCAs.Equal(first.ClientCAs) {
		t.Error("the CA before is still in force")
	}
}

func FuzzEncryptedKeys(f *testing.F) {
	for _, name := range []string{"aes256.pem", "aes128-sha1.pem", "scrypt.pem", "pbes1.pem", "plain.pem"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, "secret")
	}
	chain, err := os.ReadFile("testdata/rsa.crt")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, key []byte, password string) {
		files := pair{chain, key}.place(t, t.TempDir())
		files.Password = password
		if p, err := files.Load(); err == nil && p.Certificate.PrivateKey == nil {
			t.Error("a pair without a key")
		}
	})
}
