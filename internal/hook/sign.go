package hook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The fields of a signed request, as Standard Webhooks names them (https://www.standardwebhooks.com).
const (
	fieldID        = "Webhook-Id"        // each request has its own: who remembers those of the window refuses a second one
	fieldTime      = "Webhook-Timestamp" // whole seconds since 1970
	fieldSignature = "Webhook-Signature"
)

// MinSecret and MaxSecrets bound the secrets that a request is signed with.
const (
	MinSecret  = 32 // bytes of one
	MaxSecrets = 8
)

// sign puts the fields of a signed request into its header. The signature is made of the bytes "ID.TIMESTAMP.BODY" with
// HMAC-SHA256; the field has "v1," and its base64 for each secret, a space between them, so that a receiver which knows one
// of them is content.
func sign(h http.Header, secrets [][]byte, id string, at time.Time, body []byte) {
	stamp := strconv.FormatInt(at.Unix(), 10)
	signatures := make([]string, len(secrets))
	for i, secret := range secrets {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(id + "." + stamp + "."))
		mac.Write(body)
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	h.Set(fieldID, id)
	h.Set(fieldTime, stamp)
	h.Set(fieldSignature, strings.Join(signatures, " "))
}
