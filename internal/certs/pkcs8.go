package certs

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"
)

// Encrypted PKCS #8 (RFC 5958 3, RFC 8018 6.2), as 'openssl pkcs8 -topk8', 'openssl genpkey -aes256' and 'step' write
// it: PBES2 with PBKDF2 and AES in CBC mode.
type encryptedKey struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

type pbes2 struct {
	Derive, Encrypt pkix.AlgorithmIdentifier
}

type pbkdf2Parameters struct {
	Salt       []byte
	Iterations int
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
)

// hashes are those of PBKDF2, by the last number of 1.2.840.113549.2.
var hashes = map[int]func() hash.Hash{7: sha1.New, 9: sha256.New, 10: sha512.New384, 11: sha512.New}

// aesKeys are the lengths of AES keys in CBC mode, by the last number of 2.16.840.1.101.3.4.1.
var aesKeys = map[int]int{2: 16, 22: 24, 42: 32}

const maxIterations = 10_000_000 // a second or ten; more is no key that somebody uses

var (
	errScheme   = errors.New("is encrypted in a way that is not supported: want PKCS #8 with PBES2, PBKDF2 and AES-CBC, as 'openssl pkcs8 -topk8 -v2 aes-256-cbc' writes it")
	errPassword = errors.New("cannot be decrypted: the password is wrong, or the file is damaged")
)

// decryptPKCS8 returns the key in PKCS #8.
func decryptPKCS8(der, password []byte) ([]byte, error) {
	var k encryptedKey
	if rest, err := asn1.Unmarshal(der, &k); err != nil || len(rest) > 0 {
		return nil, errors.New("is no encrypted PKCS #8 key, though it says so")
	}
	var scheme pbes2
	if !k.Algorithm.Algorithm.Equal(oidPBES2) || !unmarshal(k.Algorithm.Parameters, &scheme) {
		return nil, errScheme
	}
	size, iv, ok := scheme.encryption()
	if !ok {
		return nil, errScheme
	}
	key, err := scheme.derive(password, size)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("decrypt: %w", err)
	}
	if len(k.Data) == 0 || len(k.Data)%aes.BlockSize != 0 {
		return nil, errPassword
	}
	plain := make([]byte, len(k.Data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, k.Data)
	return unpad(plain)
}

// encryption is the length of the key and the first block.
func (s pbes2) encryption() (size int, iv []byte, ok bool) {
	oid := s.Encrypt.Algorithm
	if len(oid) == 0 || !oid.Equal(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, oid[len(oid)-1]}) {
		return 0, nil, false
	}
	size = aesKeys[oid[len(oid)-1]]
	return size, iv, size > 0 && unmarshal(s.Encrypt.Parameters, &iv) && len(iv) == aes.BlockSize
}

func (s pbes2) derive(password []byte, size int) ([]byte, error) {
	var p pbkdf2Parameters
	if !s.Derive.Algorithm.Equal(oidPBKDF2) || !unmarshal(s.Derive.Parameters, &p) {
		return nil, errScheme
	}
	h := sha1.New // the default
	if oid := p.PRF.Algorithm; len(oid) > 0 {
		last := oid[len(oid)-1]
		if h = hashes[last]; h == nil || !oid.Equal(asn1.ObjectIdentifier{1, 2, 840, 113549, 2, last}) {
			return nil, errScheme
		}
	}
	if p.Iterations < 1 || p.Iterations > maxIterations || p.KeyLength != 0 && p.KeyLength != size {
		return nil, errScheme
	}
	key, err := pbkdf2.Key(h, string(password), p.Salt, p.Iterations, size)
	if err != nil {
		return nil, fmt.Errorf("derive the key: %w", err)
	}
	return key, nil
}

func unmarshal(v asn1.RawValue, into any) bool {
	rest, err := asn1.Unmarshal(v.FullBytes, into)
	return err == nil && len(rest) == 0
}

// unpad removes the padding of the last block, 1 to 16 bytes that each say how many they are.
func unpad(plain []byte) ([]byte, error) {
	n := int(plain[len(plain)-1])
	if n < 1 || n > aes.BlockSize || n > len(plain) {
		return nil, errPassword
	}
	for _, b := range plain[len(plain)-n:] {
		if int(b) != n {
			return nil, errPassword
		}
	}
	plain = plain[:len(plain)-n]
	var whole asn1.RawValue
	if rest, err := asn1.Unmarshal(plain, &whole); err != nil || len(rest) > 0 {
		return nil, errPassword // one password of 256 pads well by chance
	}
	return plain, nil
}
