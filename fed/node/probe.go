package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"tresor/fed/wire"
)

// Step is one step on the way to a hub.
type Step struct {
	Name   string
	OK     bool
	Detail string // what was seen, in plain words
	Next   string // what to do when it is not OK
}

// probeWait bounds one step of a probe.
const probeWait = 10 * time.Second

// Probe walks the way to a hub step by step with a connection of its own, as far
// as it goes: name, proxy, TCP, TLS, protocol version, clock, key. It sends the hub
// nothing but the opening of a connection, and disturbs no link.
func (n *Node) Probe(ctx context.Context, address string, hub wire.KeyID) []Step {
	p := &probe{n: n}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || (u.Scheme != "ws" && u.Scheme != "wss") {
		p.fail("address", "The hub's address cannot be read.", "Enrol the hub again with its right address.")
		return p.steps
	}
	p.u = u
	for _, step := range []func(context.Context) bool{p.proxy, p.name, p.tcp, p.tls} {
		short, cancel := context.WithTimeout(ctx, probeWait)
		ok := step(short)
		cancel()
		if !ok {
			return p.steps
		}
	}
	p.hub(ctx, address, hub)
	return p.steps
}

type probe struct {
	n     *Node
	u     *url.URL
	via   *url.URL // proxy; nil: none
	steps []Step
}

func (p *probe) ok(name, format string, args ...any) bool {
	p.steps = append(p.steps, Step{Name: name, OK: true, Detail: fmt.Sprintf(format, args...)})
	return true
}

func (p *probe) fail(name, detail, next string) bool {
	p.steps = append(p.steps, Step{Name: name, Detail: detail, Next: next})
	return false
}

// proxy finds out whether a proxy stands between.
func (p *probe) proxy(context.Context) bool {
	if p.n.o.Proxy == nil {
		return p.ok("proxy", "No proxy is set.")
	}
	via, err := p.n.o.Proxy(&http.Request{URL: p.u})
	if err != nil {
		return p.fail("proxy", "The proxy's address cannot be read.", "Correct federation.proxy or HTTPS_PROXY.")
	}
	if p.via = via; via == nil {
		return p.ok("proxy", "No proxy is used for %s.", p.u.Hostname())
	}
	return p.ok("proxy", "The proxy %s is used.", via.Host)
}

// first is the host that this machine itself connects to.
func (p *probe) first() string {
	u := p.u
	if p.via != nil {
		u = p.via
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"ws": "80", "http": "80", "wss": "443", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func (p *probe) name(ctx context.Context) bool {
	host, _, _ := net.SplitHostPort(p.first())
	if net.ParseIP(host) != nil {
		return p.ok("name", "%s is a number address; no name has to be found.", host)
	}
	found, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil || len(found) == 0 {
		return p.fail("name", "The name "+host+" is not found.", "Check the address for a slip, and the name servers of this machine.")
	}
	return p.ok("name", "%s is %s.", host, found[0])
}

func (p *probe) tcp(ctx context.Context) bool {
	c, err := p.dial(ctx)
	if err != nil {
		next := "Ask your network team to let this machine reach " + p.first() + " from inside out; nothing has to come in."
		if p.via == nil {
			next += " If you have a proxy, set federation.proxy."
		}
		return p.fail("tcp", "No connection to "+p.first()+": "+plainNet(err)+".", next)
	}
	c.Close()
	return p.ok("tcp", "%s takes connections.", p.first())
}

func (p *probe) dial(ctx context.Context) (net.Conn, error) {
	dial := p.n.o.NetDial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	return dial(ctx, "tcp", p.first())
}

// tls looks at the hub's certificate. Behind a proxy the next step shows it.
func (p *probe) tls(ctx context.Context) bool {
	if p.u.Scheme == "ws" {
		return p.ok("tls", "The address has no TLS: good for trying out on one machine only.")
	}
	if p.via != nil {
		return p.ok("tls", "It is checked behind the proxy, with the next step.")
	}
	raw, err := p.dial(ctx)
	if err != nil {
		return p.fail("tls", plainNet(err), "Try again.")
	}
	defer raw.Close()
	cfg := &tls.Config{}
	if p.n.o.TLS != nil {
		cfg = p.n.o.TLS.Clone()
	}
	cfg.ServerName = p.u.Hostname()
	c := tls.Client(raw, cfg)
	if err := c.HandshakeContext(ctx); err != nil {
		return p.fail("tls", "TLS failed: "+plainTLS(err)+".", "If your network inspects TLS, ask for an exception for this address; else ask the hub's operator about their certificate.")
	}
	leaf := c.ConnectionState().PeerCertificates[0]
	return p.ok("tls", "%s, certificate of %s, good until %s.", tls.VersionName(c.ConnectionState().Version), leaf.Issuer.CommonName, leaf.NotAfter.UTC().Format("2006-01-02"))
}

// hub opens a connection and reads the hub's first message.
func (p *probe) hub(ctx context.Context, address string, id wire.KeyID) {
	c, host, err := p.n.dial(ctx, address)
	if err != nil {
		p.fail("hub", "Nothing speaks the link's protocol at "+p.u.Host+": "+plainNet(err)+".", "Check the address and its path with the hub's operator; a proxy must allow CONNECT and WebSocket.")
		return
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	data, err := c.ReadMessage()
	if err != nil {
		p.fail("hub", "The hub said nothing.", "Try again; if it stays, ask the hub's operator.")
		return
	}
	ch, err := wire.DecodeChallenge(data)
	if err != nil {
		p.fail("hub", "The hub's first message is not of this protocol's version "+fmt.Sprint(wire.Version)+".", "Update this program, or ask the hub's operator to update theirs.")
		return
	}
	p.ok("hub", "A hub answers at %s and speaks version %d of the protocol.", host, wire.Version)
	skew := p.n.o.Now().Sub(time.UnixMilli(ch.Time)).Round(time.Second)
	if err := wire.CheckTime(ch.Time, p.n.o.Now()); err != nil {
		p.fail("clock", fmt.Sprintf("This clock and the hub's differ by %v.", skew.Abs()), "Set this machine's clock with a time service (NTP); at most "+wire.MaxSkew.String()+" are allowed.")
	} else {
		p.ok("clock", "This clock and the hub's differ by %v at most.", max(skew.Abs(), time.Second))
	}
	peer, key, err := p.n.o.Book.ByKey(ch.Hub.ID())
	if err != nil || peer.ID != id || key != ch.Hub {
		p.fail("key", "Another key than the pinned one answers.", "Do not go on: call the hub's operator. Somebody may stand between, or the hub was set up anew.")
		return
	}
	p.ok("key", "The hub shows the key that was pinned.")
}

// plainNet is a network error in a few words.
func plainNet(err error) string {
	var r *wire.Refusal
	var timeout net.Error
	switch {
	case errors.As(err, &r):
		return r.Text
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return op.Err.Error()
	}
	return err.Error()
}

func plainTLS(err error) string {
	var bad *tls.CertificateVerificationError
	if errors.As(err, &bad) {
		return bad.Err.Error()
	}
	return plainNet(err)
}
