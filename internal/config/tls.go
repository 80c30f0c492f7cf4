package config

import (
	"crypto/tls"
	"path/filepath"
	"strings"

	"github.com/streamweir/weir"
)

// isSet reports whether any of it is chosen besides what has a default of its own.
func (k *tlsKeys) isSet() bool {
	return k.CertChainPemPath != "" || k.PrivateKeyPemPath != "" || k.PrivateKeyPassword != "" || k.ClientCAFile != ""
}

// fromHere is a path that the configuration names: a relative one begins where the configuration is.
func (r *reader) fromHere(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(r.in.dir, path)
}

// tls maps the keys of a port's TLS; on says that the port speaks it. Relative paths begin at the configuration.
func (r *reader) tls(path string, k *tlsKeys, on bool) *weir.TLSOptions {
	if !on {
		if k.isSet() {
			r.wrong(path, "has no effect without transport: WSS: add that, or remove tls")
		}
		return nil
	}
	var missing []string
	for _, f := range []struct {
		name string
		file *string
	}{{"certChainPemPath", &k.CertChainPemPath}, {"privateKeyPemPath", &k.PrivateKeyPemPath}, {"clientCAFile", &k.ClientCAFile}} {
		switch {
		case *f.file != "":
			*f.file = r.fromHere(*f.file)
		case f.name != "clientCAFile":
			missing = append(missing, f.name)
		}
	}
	switch {
	case len(missing) == 0:
	case r.isSet(path):
		r.wrong(path, "TLS needs a certificate and its key, PEM files: %s is missing", strings.Join(missing, " and "))
	default:
		r.wrong(strings.TrimSuffix(path, "tls")+"transport", "WSS needs a certificate and its key, PEM files: tls.certChainPemPath and tls.privateKeyPemPath are missing")
	}
	o := &weir.TLSOptions{
		CertFile: k.CertChainPemPath, KeyFile: k.PrivateKeyPemPath, KeyPassword: k.PrivateKeyPassword,
		ClientCAFile: k.ClientCAFile, MinVersion: tls.VersionTLS12, MaxHandshakes: k.MaxHandshakes,
	}
	if k.Protocol == "TLSv1.3" {
		o.MinVersion = tls.VersionTLS13
	}
	return o
}
