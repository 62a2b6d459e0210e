package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"tresor/plugins/protocol"
)

// start is a misdeed before the contract begins. Those that return go on as usual.
func start(what string) {
	switch what {
	case "silent":
		time.Sleep(time.Hour)
	case "exit":
		fmt.Fprintln(os.Stderr, "no settings,\tno plugin\xff")
		os.Exit(3)
	case "noise":
		fmt.Println(strings.Repeat("noise", 100_000))
		time.Sleep(time.Hour)
	case "tcp":
		fmt.Println("1|1|tcp|127.0.0.1:1|grpc")
		time.Sleep(time.Hour)
	case "elsewhere":
		fmt.Println("1|1|unix|/run/podman/podman.sock|grpc")
		time.Sleep(time.Hour)
	case "upwards":
		fmt.Println("1|1|unix|../../secret.sock|grpc")
		time.Sleep(time.Hour)
	case "no-socket":
		fmt.Println("1|1|unix|./absent|grpc")
		time.Sleep(time.Hour)
	case "other-version":
		fmt.Println("1|99|unix|./absent|grpc")
		time.Sleep(time.Hour)
	case "die-before":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	default:
		if strings.HasPrefix(what, "raw-") {
			raw(what)
		}
	}
}

// describe is a misdeed in the description.
func describe(what string, d *protocol.Description) {
	switch what {
	case "describe-never":
		select {}
	case "describe-die":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "describe-huge":
		d.Title = strings.Repeat("x", 3<<20)
	case "describe-path":
		d.Name = "../../etc"
	}
}

// raw speaks the wire by hand and keeps to nothing of it.
func raw(what string) {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: protocol.Handshake,
		Plugins:         plugin.PluginSet{protocol.Name: glue{wire: &wire{what: what}}},
		GRPCServer: func(o []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(o, grpc.ForceServerCodec(bytesCodec{}))...)
		},
	})
}

type wire struct{ what string }

type bytesCodec struct{}

func (bytesCodec) Name() string { return "tresor" }

func (bytesCodec) Marshal(v any) ([]byte, error) {
	if b, ok := v.(*[]byte); ok {
		return *b, nil
	}
	return proto.Marshal(v.(proto.Message))
}

func (bytesCodec) Unmarshal(b []byte, v any) error {
	if p, ok := v.(*[]byte); ok {
		*p = b
		return nil
	}
	return proto.Unmarshal(b, v.(proto.Message))
}

func frame(head string, rest ...byte) *[]byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(head)))
	b = append(append(b, head...), rest...)
	return &b
}

// link answers describe as it should, and every other call with the misdeed.
func (w *wire) link(s grpc.ServerStream) error {
	for {
		var b []byte
		if err := s.RecvMsg(&b); err != nil {
			return err
		}
		var h struct {
			ID         uint64
			Kind, Name string
			Token      string
		}
		n := binary.BigEndian.Uint32(b)
		if err := json.Unmarshal(b[4:4+n], &h); err != nil {
			return err
		}
		if h.Name == "describe" {
			body, _ := json.Marshal(protocol.Description{Name: "hostile", Title: "Hostile", Version: "1", Protocol: "none"})
			_ = s.SendMsg(frame(fmt.Sprintf(`{"id":%d,"kind":"answer","body":%d}`, h.ID, len(body)), body...))
			continue
		}
		switch w.what {
		case "raw-huge":
			_ = s.SendMsg(frame(`{"id":1,"kind":"answer"}`, make([]byte, 100<<20)...))
		case "raw-garbage":
			_ = s.SendMsg(frame("garbage"))
		case "raw-answers":
			for range 20_000 {
				if s.SendMsg(frame(`{"id":99999,"kind":"answer"}`)) != nil {
					break
				}
			}
			_ = s.SendMsg(frame(fmt.Sprintf(`{"id":%d,"kind":"answer","body":14}`, h.ID), []byte(`{"status":200}`)...))
		case "raw-calls":
			for i := range 100_000 {
				if s.SendMsg(frame(fmt.Sprintf(`{"id":%d,"kind":"call","name":"visible","token":%q}`, i+1, h.Token))) != nil {
					break
				}
			}
		case "raw-unread":
			time.Sleep(time.Hour)
		case "raw-end":
			return nil
		}
	}
}
