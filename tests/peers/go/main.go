// SPDX-License-Identifier: ISC

// A gRPC client on grpc-go.
//
//	peer interop ADDRESS                       gRPC's unary interop cases
//	peer story ADDRESS DESCRIPTORS SECONDS     one user's way through twostepd; DESCRIPTORS is the
//	                                           API as a FileDescriptorSet, SECONDS the time by the
//	                                           daemon's clock
//	peer load ADDRESSES CONFIG TOKEN REQUEST   GetLoginRequirement until standard input ends, with
//	                                           commas between addresses, a service config and the
//	                                           request in hexadecimal; one JSON line at the end
//
// With PEER_TLS_CA in the environment over TLS, with PEER_TLS_CERT and PEER_TLS_KEY, too, with a
// certificate of its own: names of files.
//
// One line a step, "ok NAME" or "not ok NAME: why"; exit 1 when one was not ok.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

const patience = 30 * time.Second

type step struct {
	name string
	run  func() error
}

func runSteps(steps []step) (failed int) {
	for _, s := range steps {
		if err := s.run(); err != nil {
			fmt.Printf("not ok %s: %q\n", s.name, err.Error())
			failed++
		} else {
			fmt.Println("ok", s.name)
		}
	}
	return failed
}

// wantCode is nil when err is a gRPC error with this code.
func wantCode(err error, code codes.Code) error {
	if status.Code(err) != code {
		return fmt.Errorf("%v, not %v", err, code)
	}
	return nil
}

func wantEqual(got, wanted any) error {
	if got != wanted {
		return fmt.Errorf("%v, not %v", got, wanted)
	}
	return nil
}

func transport() (credentials.TransportCredentials, error) {
	ca, cert := os.Getenv("PEER_TLS_CA"), os.Getenv("PEER_TLS_CERT")
	if ca == "" {
		return insecure.NewCredentials(), nil
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New(ca)
	}
	if cert != "" {
		own, err := tls.LoadX509KeyPair(cert, os.Getenv("PEER_TLS_KEY"))
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{own}
	}
	return credentials.NewTLS(config), nil
}

func dial(address string) *grpc.ClientConn {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	creds, err := transport()
	var conn *grpc.ClientConn
	if err == nil {
		conn, err = grpc.DialContext(ctx, address, grpc.WithBlock(), grpc.WithTransportCredentials(creds))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, address, err)
		os.Exit(1)
	}
	return conn
}

func main() {
	args := os.Args[1:]
	var steps []step
	switch {
	case len(args) == 2 && args[0] == "interop":
		steps = interop(dial(args[1]))
	case len(args) == 4 && args[0] == "story":
		steps = story(dial(args[1]), args[2], args[3])
	case len(args) == 5 && args[0] == "load":
		if err := load(args[1], args[2], args[3], args[4]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	default:
		fmt.Fprintln(os.Stderr, "usage: peer interop ADDRESS | peer story ADDRESS DESCRIPTORS SECONDS")
		os.Exit(64)
	}
	if runSteps(steps) > 0 {
		os.Exit(1)
	}
}
