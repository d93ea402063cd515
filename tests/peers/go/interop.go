// SPDX-License-Identifier: ISC

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const (
	requestSize  = 271828
	responseSize = 314159
	hurried      = 20                     // calls that are given up
	hurry        = 500 * time.Microsecond // after which they are
)

func large() *pb.SimpleRequest {
	return &pb.SimpleRequest{
		ResponseType: pb.PayloadType_COMPRESSABLE,
		ResponseSize: responseSize,
		Payload:      &pb.Payload{Body: make([]byte, requestSize)},
	}
}

func checkLarge(r *pb.SimpleResponse, err error) error {
	if err != nil {
		return err
	}
	if !bytes.Equal(r.GetPayload().GetBody(), make([]byte, responseSize)) {
		return errors.New("not the payload that was asked for")
	}
	return nil
}

type interopClient struct {
	pb.TestServiceClient
	elsewhere pb.UnimplementedServiceClient
	ctx       context.Context
}

func (c interopClient) empty() error {
	_, err := c.EmptyCall(c.ctx, &pb.Empty{})
	return err
}

func (c interopClient) status(message string) error {
	r := &pb.SimpleRequest{ResponseStatus: &pb.EchoStatus{Code: int32(codes.Unknown), Message: message}}
	_, err := c.UnaryCall(c.ctx, r)
	if err := wantCode(err, codes.Unknown); err != nil {
		return err
	}
	return wantEqual(status.Convert(err).Message(), message)
}

func (c interopClient) customMetadata() error {
	const initial, trailing = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"
	const text, bin = "test_initial_metadata_value", "\xab\xab\xab"
	var header, trailer metadata.MD
	ctx := metadata.AppendToOutgoingContext(c.ctx, initial, text, trailing, bin)
	r, err := c.UnaryCall(ctx, large(), grpc.Header(&header), grpc.Trailer(&trailer))
	if err := checkLarge(r, err); err != nil {
		return err
	}
	if err := wantEqual(fmt.Sprint(header.Get(initial)), fmt.Sprint([]string{text})); err != nil {
		return err
	}
	return wantEqual(fmt.Sprint(trailer.Get(trailing)), fmt.Sprint([]string{bin}))
}

// First a message that says it is compressed and is not: a server that does not look would take it.
func (c interopClient) clientCompressed() error {
	r := large()
	r.ExpectCompressed = &pb.BoolValue{Value: true}
	_, err := c.UnaryCall(c.ctx, r)
	if err := wantCode(err, codes.InvalidArgument); err != nil {
		return err
	}
	if err := checkLarge(c.UnaryCall(c.ctx, r, grpc.UseCompressor(gzip.Name))); err != nil {
		return err
	}
	r.ExpectCompressed.Value = false
	return checkLarge(c.UnaryCall(c.ctx, r))
}

func (c interopClient) serverCompressed() error {
	for _, compressed := range []bool{true, false} {
		r := large()
		r.ResponseCompressed = &pb.BoolValue{Value: compressed}
		if err := checkLarge(c.UnaryCall(c.ctx, r)); err != nil {
			return err
		}
	}
	return nil
}

// Calls that the client gives up leave the connection well.
func (c interopClient) giveUp(code codes.Code, inTime func() (context.Context, context.CancelFunc)) error {
	for i := 0; i < hurried; i++ {
		ctx, cancel := inTime()
		_, err := c.UnaryCall(ctx, large())
		cancel()
		if err != nil && status.Code(err) != code {
			return err
		}
	}
	return c.empty()
}

func (c interopClient) deadline() error {
	return c.giveUp(codes.DeadlineExceeded, func() (context.Context, context.CancelFunc) {
		return context.WithTimeout(c.ctx, hurry)
	})
}

func (c interopClient) cancel() error {
	return c.giveUp(codes.Canceled, func() (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(c.ctx)
		time.AfterFunc(hurry, cancel)
		return ctx, cancel
	})
}

func interop(conn *grpc.ClientConn) []step {
	ctx := context.Background()
	c := interopClient{pb.NewTestServiceClient(conn), pb.NewUnimplementedServiceClient(conn), ctx}
	return []step{
		{"empty_unary", c.empty},
		{"large_unary", func() error { return checkLarge(c.UnaryCall(ctx, large())) }},
		{"status_code_and_message", func() error { return c.status("test status message") }},
		{"special_status_message", func() error {
			return c.status("\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n")
		}},
		{"custom_metadata", c.customMetadata},
		{"unimplemented_method", func() error {
			_, err := c.UnimplementedCall(ctx, &pb.Empty{})
			return wantCode(err, codes.Unimplemented)
		}},
		{"unimplemented_service", func() error {
			_, err := c.elsewhere.UnimplementedCall(ctx, &pb.Empty{})
			return wantCode(err, codes.Unimplemented)
		}},
		{"client_compressed_unary", c.clientCompressed},
		{"server_compressed_unary", c.serverCompressed},
		{"deadline", c.deadline},
		{"cancel", c.cancel},
	}
}
