package tlscert

import (
	"crypto/x509"
	"errors"
	"net"
	"net/http"

	"tresor/app/fault"

	"github.com/mholt/acmez/v3/acme"
)

// refused says in people's words why the authority issued nothing, and how long
// the certificate in use still works.
func (a *acmeSource) refused(name string, err error) error {
	meanwhile := "A temporary certificate of the own authority is served meanwhile."
	a.mu.Lock()
	if c := a.byName[name]; c != nil {
		meanwhile = "The certificate in use works until " + day(c.Leaf.NotAfter) + "."
		if a.now().After(c.Leaf.NotAfter) {
			meanwhile = "The certificate in use ended on " + day(c.Leaf.NotAfter) + "."
		}
	}
	a.mu.Unlock()
	return fault.Kinded("tlscert.acme", fault.Unavailable, err, "No certificate for %s: %s %s The next attempt follows by itself.", name, why(err), meanwhile)
}

func why(err error) string {
	var untrusted x509.UnknownAuthorityError
	var problem acme.Problem
	var network net.Error
	switch {
	case errors.As(err, &untrusted):
		return "the server at tls.ca shows a certificate that is not trusted. Check tls.ca, or name its authority in tls.ca_roots."
	case errors.As(err, &problem):
		return explainProblem(problem)
	case errors.As(err, &network):
		return "the authority does not answer. Check tls.ca and that this machine may reach it."
	}
	return "the authority could not be used. The log has the cause."
}

func explainProblem(p acme.Problem) string {
	switch {
	case p.Status == http.StatusTooManyRequests || p.Type == acme.ProblemTypeRateLimited:
		return "the authority has issued too many lately."
	case p.Type == acme.ProblemTypeConnection || p.Type == acme.ProblemTypeTLS || p.Type == acme.ProblemTypeUnauthorized || p.Type == acme.ProblemTypeDNS:
		return "the authority could not check that the name leads to this server. It has to reach port 443 (or port 80, see tls.http_listen) under that name from outside."
	case p.Type == acme.ProblemTypeCAA || p.Type == acme.ProblemTypeRejectedIdentifier:
		return "the authority does not issue for this name. Check tls.domain and the name's CAA record."
	case p.Type == acme.ProblemTypeExternalAccountRequired:
		return "the authority wants an account that you have with it. Set tls.eab_id and tls.eab_key."
	}
	return "the authority refused."
}
