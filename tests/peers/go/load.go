// SPDX-License-Identifier: ISC

package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"
)

const (
	loadWorkers = 4
	loadPath    = "/twostep.v1.TwoStepService/GetLoginRequirement"
)

// Bytes in, bytes out.
type rawCodec struct{}

func (rawCodec) Name() string                  { return "proto" }
func (rawCodec) Marshal(v any) ([]byte, error) { return v.([]byte), nil }
func (rawCodec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}

func dialAll(addresses []string, config string) (*grpc.ClientConn, error) {
	creds, err := transport()
	if err != nil {
		return nil, err
	}
	all := manual.NewBuilderWithScheme("all")
	state := resolver.State{}
	for _, address := range addresses {
		state.Addresses = append(state.Addresses, resolver.Address{Addr: address, ServerName: "localhost"})
	}
	all.InitialState(state)
	return grpc.Dial("all:///localhost", grpc.WithResolvers(all), grpc.WithTransportCredentials(creds),
		grpc.WithDefaultServiceConfig(config))
}

// Calls until standard input ends, and says how many calls went well and how the others failed.
func load(addresses, config, token, request string) error {
	conn, err := dialAll(strings.Split(addresses, ","), config)
	if err != nil {
		return err
	}
	defer conn.Close()
	message, err := hex.DecodeString(request)
	if err != nil {
		return err
	}
	stop := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(stop)
	}()
	var lock sync.Mutex
	var done sync.WaitGroup
	good, failed := 0, map[string]int{}
	for i := 0; i < loadWorkers; i++ {
		done.Add(1)
		go func() {
			defer done.Done()
			for {
				select {
				case <-stop:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
				var answer []byte
				err := conn.Invoke(ctx, loadPath, message, &answer, grpc.ForceCodec(rawCodec{}))
				cancel()
				lock.Lock()
				if err == nil {
					good++
				} else {
					failed[status.Code(err).String()+": "+status.Convert(err).Message()]++
				}
				lock.Unlock()
				time.Sleep(time.Millisecond)
			}
		}()
	}
	done.Wait()
	text, err := json.Marshal(map[string]any{"good": good, "failed": failed})
	fmt.Println(string(text))
	return err
}
