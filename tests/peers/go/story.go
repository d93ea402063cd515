// SPDX-License-Identifier: ISC

package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

const (
	service  = "twostep.v1.TwoStepService"
	periodS  = 30
	tenant   = "go"
	user     = "ünal@example.org"
	issuer   = "Ex&mple CRM"
	codeSize = 1000000
)

// A message in its JSON form.
type fields map[string]any

func with(base, more fields) fields {
	all := fields{}
	for _, f := range []fields{base, more} {
		for name, value := range f {
			all[name] = value
		}
	}
	return all
}

type storyClient struct {
	conn    *grpc.ClientConn
	methods protoreflect.MethodDescriptors
	now     int64
	// What the authenticator app and the CRM remember.
	secret     []byte
	enrollment string
}

func loadService(path string) (protoreflect.MethodDescriptors, error) {
	packed, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(packed, set); err != nil {
		return nil, err
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		return nil, err
	}
	found, err := files.FindDescriptorByName(service)
	if err != nil {
		return nil, err
	}
	return found.(protoreflect.ServiceDescriptor).Methods(), nil
}

func (c *storyClient) call(name string, request fields) (fields, error) {
	method := c.methods.ByName(protoreflect.Name(name))
	in, out := dynamicpb.NewMessage(method.Input()), dynamicpb.NewMessage(method.Output())
	text, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	if err := protojson.Unmarshal(text, in); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.conn.Invoke(ctx, "/"+service+"/"+name, in, out); err != nil {
		return nil, err
	}
	answer := fields{}
	if text, err = protojson.Marshal(out); err != nil {
		return nil, err
	}
	return answer, json.Unmarshal(text, &answer)
}

var (
	who   = fields{"tenantId": tenant, "userId": user, "channel": "CHANNEL_WEB"}
	login = with(who, fields{"passwordVerified": true})
)

func (c *storyClient) code(stepsAhead int64) string {
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(c.now/periodS+stepsAhead))
	mac := hmac.New(sha1.New, c.secret)
	mac.Write(counter[:])
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 15
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[at:])&0x7fffffff%codeSize)
}

func (c *storyClient) health() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := grpc_health_v1.NewHealthClient(c.conn).Check(ctx,
		&grpc_health_v1.HealthCheckRequest{Service: service})
	if err != nil {
		return err
	}
	return wantEqual(r.Status, grpc_health_v1.HealthCheckResponse_SERVING)
}

func (c *storyClient) requirement(wanted string) func() error {
	return func() error {
		r, err := c.call("GetLoginRequirement", who)
		if err != nil {
			return err
		}
		if (r["mayRememberPassword"] == true) != (wanted == "NOTHING") {
			return fmt.Errorf("may_remember_password: %v", r["mayRememberPassword"])
		}
		return wantEqual(r["requirement"], "LOGIN_REQUIREMENT_"+wanted)
	}
}

func (c *storyClient) switchOn() error {
	r, err := c.call("SetPolicy", fields{
		"policy": fields{"tenantId": tenant, "enabled": true, "issuer": issuer}})
	if err != nil {
		return err
	}
	return wantEqual(r["policy"].(map[string]any)["revision"], "1")
}

func (c *storyClient) enroll() error {
	r, err := c.call("Enroll", login)
	if err != nil {
		return err
	}
	c.enrollment, _ = r["enrollmentId"].(string)
	uri, err := url.Parse(r["otpauthUri"].(string))
	if err != nil {
		return err
	}
	if got := []string{uri.Scheme, uri.Host, uri.Path, uri.Query().Get("issuer")}; strings.Join(got, "\n") !=
		strings.Join([]string{"otpauth", "totp", "/" + issuer + ":" + user, issuer}, "\n") {
		return fmt.Errorf("%q", got)
	}
	c.secret, err = base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(uri.Query().Get("secret"))
	return err
}

func (c *storyClient) verify(outcome string, stepsAhead int64, confirm bool) func() error {
	return func() error {
		request := with(login, fields{"code": c.code(stepsAhead)})
		if confirm {
			request["enrollmentId"] = c.enrollment
		}
		r, err := c.call("Verify", request)
		if err != nil {
			return err
		}
		return wantEqual(r["outcome"], "VERIFY_OUTCOME_"+outcome)
	}
}

func (c *storyClient) fieldNamed() error {
	_, err := c.call("Verify", with(login, fields{"code": "12x456"}))
	if err := wantCode(err, codes.InvalidArgument); err != nil {
		return err
	}
	for _, detail := range status.Convert(err).Details() {
		if bad, ok := detail.(*errdetails.BadRequest); ok {
			return wantEqual(bad.FieldViolations[0].Field, "code")
		}
	}
	return errors.New("no BadRequest")
}

func (c *storyClient) unknownReset() error {
	_, err := c.call("GetReset", fields{"tenantId": tenant, "resetId": "x"})
	return wantCode(err, codes.NotFound)
}

func story(conn *grpc.ClientConn, descriptors, seconds string) []step {
	methods, err := loadService(descriptors)
	if err != nil {
		return []step{{"descriptors", func() error { return err }}}
	}
	now, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return []step{{"seconds", func() error { return err }}}
	}
	c := &storyClient{conn: conn, methods: methods, now: now}
	return []step{
		{"health", c.health},
		{"off", c.requirement("NOTHING")},
		{"switch_on", c.switchOn},
		{"asks_to_enroll", c.requirement("ENROLL")},
		{"enroll", c.enroll},
		{"confirm", c.verify("ACCEPTED", 0, true)},
		{"asks_for_a_code", c.requirement("CODE")},
		{"verify", c.verify("ACCEPTED", 1, false)},
		{"replay", c.verify("REPLAYED_CODE", 1, false)},
		{"field_named", c.fieldNamed},
		{"unknown_reset", c.unknownReset},
	}
}
