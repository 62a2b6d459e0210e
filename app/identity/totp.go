package identity

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/boombuler/barcode/qr"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
)

// What every authenticator app understands.
const (
	totpPeriod = 30 // seconds
	totpSkew   = 1  // periods that a clock may be off, either way
	totpBytes  = 20
)

var totpOptions = hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1}

// Enrolment is what an authenticator app needs.
type Enrolment struct {
	Secret string `json:"secret"` // to type by hand
	URI    string `json:"uri"`    // otpauth://
	QR     string `json:"qr"`     // the URI as an SVG image
}

func newEnrolment(site, handle string) (Enrolment, error) {
	b := make([]byte, totpBytes)
	rand.Read(b)
	secret := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b)
	label := url.PathEscape(site + ":" + handle)
	uri := fmt.Sprintf("otpauth://totp/%s?secret=%s&issuer=%s", label, secret, url.QueryEscape(site))
	image, err := svg(uri)
	return Enrolment{Secret: secret, URI: uri, QR: image}, err
}

// matchCode returns the time step that the code belongs to, or 0. Every step is
// computed, so that the time taken says nothing.
func matchCode(secret, code string, now time.Time) (step int64) {
	code = strings.ReplaceAll(strings.TrimSpace(code), " ", "")
	current := now.Unix() / totpPeriod
	for s := current - totpSkew; s <= current+totpSkew; s++ {
		want, err := hotp.GenerateCodeCustom(secret, uint64(s), totpOptions)
		if err == nil && subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			step = s
		}
	}
	return step
}

// quiet is the white border that readers of the code need, in modules.
const quiet = 4

// svg draws a QR code as one path, without styles or scripts, so that it passes
// the strictest content policy.
func svg(text string) (string, error) {
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		return "", err
	}
	size := code.Bounds().Dx()
	var path strings.Builder
	for y := range size {
		for x := range size {
			if r, _, _, _ := code.At(x, y).RGBA(); r == 0 {
				fmt.Fprintf(&path, "M%d %dh1v1h-1z", x+quiet, y+quiet)
			}
		}
	}
	full := size + 2*quiet
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="QR code for your authenticator app">`+
		`<path fill="#fff" d="M0 0h%dv%dH0z"/><path fill="#000" d="%s"/></svg>`, full, full, full, full, path.String()), nil
}
