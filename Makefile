# SPDX-License-Identifier: ISC
# One Makefile for everything; V=1 shows the commands, SAN=address,undefined builds with sanitizers.
.DEFAULT_GOAL := all
MAKEFLAGS += --no-builtin-rules
SHELL := /bin/bash

PREFIX ?= /usr/local
SAN    ?=
BUILD  ?= build$(if $(SAN),/$(firstword $(subst $(comma), ,$(SAN))))
comma  := ,
CC     := gcc
AR     := ar
PROTOC := protoc
VERSION := 0.1.0
Q := $(if $(V),,@)

OPT := $(if $(SAN),-O1 -fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all,-O2 -D_FORTIFY_SOURCE=2)
WARN := -Wall -Wextra -Wpedantic -Werror -Wshadow -Wconversion -Wmissing-prototypes -Wstrict-prototypes -Wvla -Walloca \
        -Wformat=2 -Wundef -Wcast-qual -Wwrite-strings -Wpointer-arith -Wswitch-enum -Wno-missing-field-initializers \
        $(if $(SAN),-Wno-format-truncation -Wno-maybe-uninitialized)
HARDEN := -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE -ftrivial-auto-var-init=zero
CFLAGS += -std=gnu17 -g $(OPT) $(WARN) $(HARDEN) -pthread -MMD -MP -D_GNU_SOURCE -DTWOSTEP_VERSION='"$(VERSION)"'
CPPFLAGS += -Iinclude -Isrc -I$(BUILD)/gen -isystem /usr/include/libmongoc-1.0 -isystem /usr/include/libbson-1.0
LDFLAGS += -pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed -pthread $(if $(SAN),-fsanitize=$(SAN))
LDLIBS  := -lprotobuf-c -lnghttp2 -levent_core -levent_pthreads -lsodium -lssl -lcrypto -lsqlite3 -lmongoc-1.0 -lbson-1.0 -lqrencode -lpng -lz -lconfuse -ljansson -lcurl -lseccomp

# ---- the API: C from proto/, into $(BUILD)/gen -------------------------------------------------
PROTOS := $(shell find proto -name '*.proto' | sort)
WKT    := google/protobuf/any google/protobuf/duration google/protobuf/field_mask google/protobuf/timestamp
GEN_C  := $(PROTOS:proto/%.proto=$(BUILD)/gen/%.pb-c.c) $(WKT:%=$(BUILD)/gen/%.pb-c.c)
GEN_O  := $(GEN_C:.c=.o)
GEN_STAMP := $(BUILD)/gen/.stamp

# The texts of mails, as a table of strings.
MAIL_TEXTS := $(sort $(wildcard src/mail/templates/*))
MAIL_C := $(BUILD)/gen/mail_builtins.c
MAIL_O := $(MAIL_C:.c=.o)

# What reflection serves: the descriptors of proto/ and of what it imports.
DESCRIPTORS_C := $(BUILD)/gen/rpc_descriptors.c
DESCRIPTORS_O := $(DESCRIPTORS_C:.c=.o)

# ---- the house ----------------------------------------------------------------------------------
SRC   := $(wildcard src/*/*.c)
MAINS := src/daemon/main.c src/cli/main.c
OBJ   := $(SRC:%.c=$(BUILD)/%.o)
MAIN_O := $(MAINS:%.c=$(BUILD)/%.o)
LIB_O := $(filter-out $(MAIN_O),$(OBJ)) $(GEN_O) $(MAIL_O) $(DESCRIPTORS_O)
LIB   := $(BUILD)/libtwostep.a
BIN   := $(BUILD)/twostepd $(BUILD)/twostepctl

all: $(BIN)

$(BUILD)/twostepd: $(BUILD)/src/daemon/main.o $(LIB)
$(BUILD)/twostepctl: $(BUILD)/src/cli/main.o $(LIB)
$(BIN):
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(LIB): $(LIB_O)
	@echo "  AR    $@"
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(GEN_STAMP): $(PROTOS)
	@echo "  PROTO $(BUILD)/gen"
	$(Q)mkdir -p $(BUILD)/gen
	$(Q)$(PROTOC) -Iproto --c_out=$(BUILD)/gen $(PROTOS) $(WKT:%=/usr/include/%.proto) -I/usr/include
	$(Q)touch $@
$(GEN_C): $(GEN_STAMP) ;
$(GEN_O): %.o: %.c
	@echo "  CC    $@"
	$(Q)$(CC) -std=gnu17 -g $(OPT) $(HARDEN) -pthread -I$(BUILD)/gen -c -o $@ $<

$(MAIL_C): src/mail/builtins.awk $(MAIL_TEXTS)
	@mkdir -p $(@D)
	$(Q)awk -f $^ >$@
$(DESCRIPTORS_C): $(PROTOS)
	@mkdir -p $(@D)
	$(Q)$(PROTOC) -Iproto -I/usr/include --include_imports --descriptor_set_out=$(@:.c=.pb) $(PROTOS)
	$(Q){ echo '#include "rpc/descriptors_internal.h"'; echo 'const unsigned char rpc_descriptor_set[] = {'; \
	    od -An -v -tu1 $(@:.c=.pb) | sed 's/\([0-9]\) /\1,/g; s/$$/,/'; \
	    echo '};'; echo 'const size_t rpc_descriptor_set_len = sizeof rpc_descriptor_set;'; } >$@
$(MAIL_O) $(DESCRIPTORS_O): %.o: %.c
	@echo "  CC    $@"
	$(Q)$(CC) $(CPPFLAGS) -std=gnu17 -g $(OPT) $(HARDEN) -pthread -MMD -MP -c -o $@ $<

$(BUILD)/src/%.o: src/%.c $(GEN_STAMP)
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(CPPFLAGS) $(BEFORE) -include include/base/banned.h $(CFLAGS) -c -o $@ $<
# These headers have inline functions that use what banned.h forbids.
$(BUILD)/src/store/mongo_%.o $(BUILD)/src/store/store_mongo.o: BEFORE := -include mongoc/mongoc.h

# ---- tests: one program a module, and servers for the clients of tests/rpc -----------------------
UNIT_SRC := $(wildcard tests/unit/*/*_test.c) $(wildcard tests/store/*_test.c)
UNIT_BIN := $(UNIT_SRC:%.c=$(BUILD)/%)
PROGRAM_SRC := $(wildcard tests/programs/*.c)
PROGRAM_BIN := $(PROGRAM_SRC:%.c=$(BUILD)/%)
RPC_SRC := $(wildcard tests/rpc/*_server.c)
RPC_BIN := $(RPC_SRC:%.c=$(BUILD)/%)
BENCH_SRC := $(wildcard tests/bench/*.c)
BENCH_BIN := $(BENCH_SRC:%.c=$(BUILD)/%)
SUPPORT_O := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/support/*.c))
# Messages of test services, in protos of their own.
TEST_PROTOS := $(shell find tests/rpc/proto -name '*.proto' | sort)
TEST_GEN_C  := $(TEST_PROTOS:tests/rpc/proto/%.proto=$(BUILD)/gen/tests/%.pb-c.c)
TEST_GEN_O  := $(TEST_GEN_C:.c=.o)
# The API for Python clients: google and grpc's own come with python3-grpcio and python3-protobuf.
PY_STAMP := $(BUILD)/py/.stamp
.SECONDARY: $(UNIT_BIN:%=%.o) $(PROGRAM_BIN:%=%.o) $(RPC_BIN:%=%.o) $(BENCH_BIN:%=%.o) $(SUPPORT_O)

$(TEST_GEN_C): $(BUILD)/gen/tests/%.pb-c.c: tests/rpc/proto/%.proto
	@mkdir -p $(@D)
	$(Q)$(PROTOC) -Itests/rpc/proto -I/usr/include --c_out=$(BUILD)/gen/tests $<
$(TEST_GEN_O): %.o: %.c $(GEN_STAMP)
	$(Q)$(CC) -std=gnu17 -g $(OPT) $(HARDEN) -pthread -I$(BUILD)/gen/tests -I$(BUILD)/gen -c -o $@ $<

$(BUILD)/tests/%.o: tests/%.c $(GEN_STAMP) $(TEST_GEN_C)
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(CPPFLAGS) -Itests -I$(BUILD)/gen/tests $(CFLAGS) -c -o $@ $<
$(UNIT_BIN): %: %.o $(SUPPORT_O) $(LIB)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka
$(PROGRAM_BIN): %: %.o $(LIB)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lm
$(RPC_BIN): %: %.o $(BUILD)/tests/rpc/serve.o $(TEST_GEN_O) $(LIB)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(BENCH_BIN): %: %.o $(BUILD)/tests/support/calls.o $(LIB)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lm

$(PY_STAMP): $(PROTOS)
	@echo "  PROTO $(BUILD)/py"
	$(Q)mkdir -p $(BUILD)/py
	$(Q)$(PROTOC) -Iproto -I/usr/include --python_out=$(BUILD)/py --grpc_python_out=$(BUILD)/py \
	    --plugin=protoc-gen-grpc_python=/usr/bin/grpc_python_plugin $(PROTOS)
	$(Q)touch $@

# Everything that tests need; running them is tests/run's business.
test-programs: $(BIN) $(UNIT_BIN) $(PROGRAM_BIN) $(RPC_BIN) $(PY_STAMP)

check: deps-test
	$(Q)$(MAKE) --no-print-directory test-programs lint
	$(Q)tests/run $(BUILD)

asan:
	$(Q)$(MAKE) --no-print-directory SAN=address,undefined test-programs
	$(Q)tests/run --sanitized build/address
tsan:
	$(Q)$(MAKE) --no-print-directory SAN=thread test-programs
	$(Q)tests/run --sanitized build/thread
crash: all $(PROGRAM_BIN) $(PY_STAMP)
	$(Q)tests/run --crash $(BUILD)
# The conformance suite of connectrpc.com against the gRPC edge, with each case that fails.
conformance: $(RPC_BIN)
	$(Q)deploy/install-peers.sh connectconformance
	$(Q)build/peers/connectconformance --mode server --conf tests/rpc/conformance.yaml \
	    -v -- $(BUILD)/tests/rpc/conformance_server
# A minute of random HTTP/2 on a connection; FUZZ_SECONDS=3600 for longer.
FUZZ_SECONDS ?= 60
fuzz: $(BUILD)/fuzz/grpc_connection
	$(Q)mkdir -p $(BUILD)/fuzz/corpus && /usr/bin/python3 tests/fuzz/grpc_seeds.py $(BUILD)/fuzz/corpus
	$(Q)$< -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=2048 $(BUILD)/fuzz/corpus
$(BUILD)/fuzz/grpc_connection: tests/fuzz/grpc_connection_fuzz.c $(wildcard src/base/*.c src/grpc/*.c)
	$(Q)mkdir -p $(@D)
	$(Q)clang -std=gnu17 -g -O1 -D_GNU_SOURCE -fsanitize=fuzzer,address,undefined -Iinclude -Isrc -o $@ $< \
	    $(addprefix src/base/,arena.c buf.c clock.c err.c file.c loop.c mem.c metric.c queue.c str.c) \
	    $(filter-out src/grpc/client.c src/grpc/dial.c,$(wildcard src/grpc/*.c)) -lnghttp2 -levent_core -lssl -lcrypto -lz -lpthread
bench: deps-test
	$(Q)$(MAKE) --no-print-directory all $(BENCH_BIN) $(PROGRAM_BIN) $(RPC_BIN)
	$(Q)tests/bench/run $(BUILD)
	$(Q)tests/bench/mail $(BUILD)
	$(Q)tests/bench/mongo $(BUILD)

# ---- the tree's own rules ---------------------------------------------------------------------------
C_FILES := $(shell find src include tests -name '*.[ch]' | sort)
lint:
	$(Q)tests/lint/run
format:
	$(Q)clang-format -i $(C_FILES)

# ---- using it ------------------------------------------------------------------------------------------
deps:
	$(Q)deploy/install-deps.sh build
deps-test:
	$(Q)deploy/install-deps.sh test
	$(Q)deploy/install-peers.sh

demo: deps
	$(Q)$(MAKE) --no-print-directory all
	$(Q)deploy/demo

install: all
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 0755 $(BIN) $(DESTDIR)$(PREFIX)/bin

clean:
	rm -rf build

-include $(OBJ:.o=.d) $(MAIL_O:.o=.d) $(DESCRIPTORS_O:.o=.d) $(UNIT_BIN:%=%.d) $(PROGRAM_BIN:%=%.d) $(RPC_BIN:%=%.d) $(BUILD)/tests/rpc/serve.d $(BENCH_BIN:%=%.d) $(SUPPORT_O:.o=.d)
.PHONY: all test-programs check asan tsan crash conformance fuzz bench lint format deps deps-test demo install clean
