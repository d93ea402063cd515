// SPDX-License-Identifier: ISC

// The same service in Go, as one would write it first: grpc-go, mattn/go-sqlite3, one
// transaction a request, durable before it is answered (WAL, synchronous=FULL). It reads the
// user's row, checks the code, moves the last step on. No lockout, no audit, no sealing,
// no request ids: less than what twostepd does.
//
//	verify DATABASE CLOCK SECRETS USERS      listens on 127.0.0.1, prints the address
//
// The files are those of load.c; the database is filled from SECRETS.
package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"database/sql"
	"encoding/binary"
	"fmt"
	"log"
	"net"
	"os"
	"strconv"
	"syscall"

	_ "github.com/mattn/go-sqlite3"
	"google.golang.org/grpc"

	"twostep.test/bench/pb"
)

const (
	secretLen = 20
	periodMs  = 30000
	options   = "?_journal_mode=WAL&_synchronous=FULL&_txlock=immediate"
)

var (
	db                *sql.DB
	selectUser, write *sql.Stmt
	clock             []byte // 8 bytes of milliseconds since 1970, moved by others
)

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

func code(secret []byte, step int64) string {
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(step))
	mac := hmac.New(sha1.New, secret)
	mac.Write(counter[:])
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 15
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[at:])&0x7fffffff%1000000)
}

func verify(ctx context.Context, r *pb.VerifyRequest) (*pb.VerifyResponse, error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	var secret []byte
	var last int64
	if err := tx.Stmt(selectUser).QueryRow(r.TenantId, r.UserId).Scan(&secret, &last); err != nil {
		return nil, err
	}
	now := int64(binary.LittleEndian.Uint64(clock)) / periodMs
	for step := now + 1; step >= now-1; step-- {
		if step > last && hmac.Equal([]byte(code(secret, step)), []byte(r.Code)) {
			if _, err := tx.Stmt(write).Exec(step, r.TenantId, r.UserId); err != nil {
				return nil, err
			}
			return &pb.VerifyResponse{Outcome: pb.VerifyOutcome_VERIFY_OUTCOME_ACCEPTED}, tx.Commit()
		}
	}
	return &pb.VerifyResponse{Outcome: pb.VerifyOutcome_VERIFY_OUTCOME_WRONG_CODE}, nil
}

func handle(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	r := &pb.VerifyRequest{}
	if err := decode(r); err != nil {
		return nil, err
	}
	return verify(ctx, r)
}

func fill(secrets []byte, users int) {
	must(db.Exec(`CREATE TABLE user (tenant TEXT, id TEXT, secret BLOB, last_step INTEGER,
		PRIMARY KEY (tenant, id)) WITHOUT ROWID`))
	tx := must(db.Begin())
	for i := 0; i < users; i++ {
		must(tx.Exec("INSERT INTO user VALUES ('bench', ?, ?, 0)", fmt.Sprintf("user-%06d", i),
			secrets[i*secretLen:(i+1)*secretLen]))
	}
	must(0, tx.Commit())
}

func main() {
	file := must(os.OpenFile(os.Args[2], os.O_RDWR, 0))
	clock = must(syscall.Mmap(int(file.Fd()), 0, 8, syscall.PROT_READ, syscall.MAP_SHARED))
	db = must(sql.Open("sqlite3", "file:"+os.Args[1]+options))
	db.SetMaxOpenConns(1) // more would only wait for SQLite's one writer in a worse way
	fill(must(os.ReadFile(os.Args[3])), must(strconv.Atoi(os.Args[4])))
	selectUser = must(db.Prepare("SELECT secret, last_step FROM user WHERE tenant = ? AND id = ?"))
	write = must(db.Prepare("UPDATE user SET last_step = ? WHERE tenant = ? AND id = ?"))
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{ServiceName: "twostep.v1.TwoStepService", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Verify", Handler: handle}}}, nil)
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	fmt.Println(listener.Addr())
	log.Fatal(server.Serve(listener))
}
