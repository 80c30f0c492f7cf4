package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/golang-jwt/jwt/v5"
)

// Algorithms are those that may be accepted (RFC 7518, RFC 8037).
var Algorithms = []string{"HS256", "RS256", "ES256", "EdDSA"}

// The least that keys may have.
const (
	leastSecret  = 32   // bytes, as RFC 7518 3.2 has it
	leastModulus = 2048 // bits
	mostModulus  = 8192 // more would cost every guess too much
	maxKeys      = 100  // of one set
)

// Key is what signatures are checked with. Each is for one algorithm, which the token does not choose: a public key is
// never taken for a secret.
type Key struct {
	ID        string // kid; "": of tokens that name any key or none
	Algorithm string
	verify    any // as jwt has it
}

// Keys are a set. Immutable.
type Keys []Key

// ErrUnknownKey is returned for a token whose key is not among those known: a newer set may have it.
var ErrUnknownKey = errors.New("the token's key is not known")

// choose returns what may have signed a token, by kid and algorithm.
func (ks Keys) choose(t *jwt.Token) (any, error) {
	kid, named := t.Header["kid"].(string)
	if _, there := t.Header["kid"]; there && !named {
		return nil, errors.New("kid is not text")
	}
	var set jwt.VerificationKeySet
	for _, k := range ks {
		if k.Algorithm == t.Method.Alg() && (k.ID == "" || kid == "" || k.ID == kid) {
			set.Keys = append(set.Keys, k.verify)
		}
	}
	if len(set.Keys) == 0 {
		return nil, ErrUnknownKey
	}
	return set, nil
}

// NewSecret is a key of HS256.
func NewSecret(id string, secret []byte) (Key, error) {
	if len(secret) < leastSecret {
		return Key{}, fmt.Errorf("a secret of %d bytes: want %d or more", len(secret), leastSecret)
	}
	return Key{id, "HS256", secret}, nil
}

// NewPublic is a key of RS256, ES256 or EdDSA, in PEM: a public key or a certificate.
func NewPublic(id string, text []byte) (Key, error) {
	b, _ := pem.Decode(text)
	if b == nil {
		return Key{}, errors.New("is not PEM: want a public key or a certificate")
	}
	switch b.Type {
	case "PUBLIC KEY":
		public, err := x509.ParsePKIXPublicKey(b.Bytes)
		if err != nil {
			return Key{}, fmt.Errorf("read public key: %w", err)
		}
		return ofPublic(id, public)
	case "RSA PUBLIC KEY":
		public, err := x509.ParsePKCS1PublicKey(b.Bytes)
		if err != nil {
			return Key{}, fmt.Errorf("read public key: %w", err)
		}
		return ofPublic(id, public)
	case "CERTIFICATE":
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return Key{}, fmt.Errorf("read certificate: %w", err)
		}
		return ofPublic(id, c.PublicKey)
	}
	return Key{}, fmt.Errorf("is a %s: want PUBLIC KEY or CERTIFICATE, the private one stays with the issuer", b.Type)
}

func ofPublic(id string, public any) (Key, error) {
	switch k := public.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < leastModulus || bits > mostModulus {
			return Key{}, fmt.Errorf("an RSA key of %d bits: want %d to %d", bits, leastModulus, mostModulus)
		}
		if k.E < 3 || k.E%2 == 0 {
			return Key{}, fmt.Errorf("an RSA key with the exponent %d", k.E)
		}
		return Key{id, "RS256", k}, nil
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return Key{}, fmt.Errorf("a key on curve %s: want P-256", k.Curve.Params().Name)
		}
		return Key{id, "ES256", k}, nil
	case ed25519.PublicKey:
		return Key{id, "EdDSA", k}, nil
	}
	return Key{}, fmt.Errorf("a key of type %T: want RSA, P-256 or Ed25519", public)
}

// jwk is one key of a set (RFC 7517).
type jwk struct {
	Type  string `json:"kty"`
	Use   string `json:"use"`
	ID    string `json:"kid"`
	Alg   string `json:"alg"`
	Curve string `json:"crv"`
	N     string `json:"n"`
	E     string `json:"e"`
	X     string `json:"x"`
	Y     string `json:"y"`
}

// ParseSet reads a JSON Web Key Set. Keys for other things, of other kinds, and secrets, which have no place in what is
// published, are passed over; one that is broken is an error.
func ParseSet(text []byte) (Keys, error) {
	var set struct {
		Keys []jwk `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("read key set: %w", err)
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("a key set of %d keys: want at most %d", len(set.Keys), maxKeys)
	}
	var ks Keys
	for i, j := range set.Keys {
		k, use, err := j.key()
		if err != nil {
			return nil, fmt.Errorf("key %d of the set: %w", i, err)
		}
		if use && (j.Alg == "" || j.Alg == k.Algorithm) {
			ks = append(ks, k)
		}
	}
	if len(ks) == 0 {
		return nil, errors.New("no key of the set can be used: want RSA, P-256 or Ed25519 keys for signatures")
	}
	return ks, nil
}

func (j *jwk) key() (k Key, use bool, err error) {
	if j.Use != "" && j.Use != "sig" {
		return Key{}, false, nil
	}
	switch {
	case j.Type == "RSA":
		k, err = j.rsa()
	case j.Type == "EC" && j.Curve == "P-256":
		k, err = j.ec()
	case j.Type == "OKP" && j.Curve == "Ed25519":
		x, err := coordinate(j.X, ed25519.PublicKeySize)
		if err != nil {
			return Key{}, false, err
		}
		return Key{j.ID, "EdDSA", ed25519.PublicKey(x)}, true, nil
	default:
		return Key{}, false, nil
	}
	return k, err == nil, err
}

func (j *jwk) rsa() (Key, error) {
	n, err := base64.RawURLEncoding.DecodeString(j.N)
	if err != nil {
		return Key{}, fmt.Errorf("n: %w", err)
	}
	e, err := base64.RawURLEncoding.DecodeString(j.E)
	if err != nil || len(e) > 4 {
		return Key{}, errors.New("e: want base64url of at most 4 bytes")
	}
	return ofPublic(j.ID, &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())})
}

func (j *jwk) ec() (Key, error) {
	const size = 32
	x, err := coordinate(j.X, size)
	if err != nil {
		return Key{}, err
	}
	y, err := coordinate(j.Y, size)
	if err != nil {
		return Key{}, err
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
	if err != nil {
		return Key{}, fmt.Errorf("x, y: %w", err)
	}
	return ofPublic(j.ID, public)
}

func coordinate(text string, size int) ([]byte, error) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) != size {
		return nil, fmt.Errorf("want base64url of %d bytes", size)
	}
	return b, nil
}
