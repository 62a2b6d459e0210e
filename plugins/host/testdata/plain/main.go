// Command plain is a plugin written from the author's guide alone: a gRPC library,
// JSON, and nothing of this program. It answers describe, and serve with the length
// of the request's body and the answer of one host call.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"math/big"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

func main() {
	if os.Getenv("TRESOR_PLUGIN") != "c1b8a0a2-translate-and-hold-no-authority" {
		log.Fatal("a plugin is started by the server")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	t := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	check(err)
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM([]byte(os.Getenv("PLUGIN_CLIENT_CERT")))
	l, err := net.Listen("unix", "./plain.sock")
	check(err)
	s := grpc.NewServer(grpc.ForceServerCodec(raw{}), grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients, MinVersion: tls.VersionTLS12,
	})))
	s.RegisterService(&grpc.ServiceDesc{ServiceName: "tresor.v1.Plugin", HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{
		{StreamName: "Link", ServerStreams: true, ClientStreams: true, Handler: link},
	}}, struct{}{})
	fmt.Printf("1|1|unix|./plain.sock|grpc|%s\n", base64.RawStdEncoding.EncodeToString(der))
	check(s.Serve(l))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// raw is messages as bytes.
type raw struct{}

func (raw) Name() string { return "bytes" }

func (raw) Marshal(v any) ([]byte, error) {
	if b, ok := v.(*[]byte); ok {
		return *b, nil
	}
	return nil, errors.New("not bytes")
}

func (raw) Unmarshal(b []byte, v any) error {
	if p, ok := v.(*[]byte); ok {
		*p = b
		return nil
	}
	return errors.New("not bytes")
}

type header struct {
	ID    int    `json:"id"`
	Kind  string `json:"kind"`
	Name  string `json:"name,omitempty"`
	Token string `json:"token,omitempty"`
	Error any    `json:"error,omitempty"`
	Body  int    `json:"body,omitempty"`
	Parts []int  `json:"parts,omitempty"`
}

func send(s grpc.ServerStream, h header, body string) {
	h.Body = len(body)
	j, _ := json.Marshal(h)
	b := binary.BigEndian.AppendUint32(nil, uint32(len(j)))
	b = append(append(b, j...), body...)
	check(s.SendMsg(&b))
}

// link answers one call at a time, which is enough for it.
func link(_ any, s grpc.ServerStream) error {
	asked, parts := header{}, 0
	for {
		var b []byte
		if err := s.RecvMsg(&b); err != nil {
			return err
		}
		var h header
		n := binary.BigEndian.Uint32(b)
		check(json.Unmarshal(b[4:4+n], &h))
		body := string(b[4+n:][:h.Body])
		switch {
		case h.Kind == "answer": // of our host call
			send(s, header{ID: asked.ID, Kind: "answer"}, fmt.Sprintf(`{"status":200,"body":%q}`, base64.StdEncoding.EncodeToString([]byte(fmt.Sprint(parts, " ", body)))))
		case h.Kind != "call":
		case h.Name == "describe":
			send(s, header{ID: h.ID, Kind: "answer"}, `{"name":"plain","title":"Plain","version":"1","protocol":"plain 1","parts":["server"],"settings":[]}`)
		case h.Name == "serve":
			asked, parts = h, 0
			for _, p := range h.Parts {
				parts += p
			}
			send(s, header{ID: 1, Kind: "call", Name: "visible", Token: h.Token}, "")
		case h.Name == "test":
			send(s, header{ID: h.ID, Kind: "answer"}, `[{"name":"settings","ok":true,"detail":"There are none."}]`)
		default:
			send(s, header{ID: h.ID, Kind: "answer", Error: map[string]string{"code": "unsupported", "text": "not here"}}, "")
		}
	}
}
