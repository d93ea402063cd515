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
        -Wformat=2 -Wundef -Wcast-qual -Wwrite-strings -Wpointer-arith -Wswitch-enum -Wno-missing-field-initializers
HARDEN := -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE -ftrivial-auto-var-init=zero
CFLAGS += -std=gnu17 -g $(OPT) $(WARN) $(HARDEN) -pthread -MMD -MP -D_GNU_SOURCE -DTWOSTEP_VERSION='"$(VERSION)"'
CPPFLAGS += -Iinclude -Isrc -I$(BUILD)/gen
LDFLAGS += -pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed -pthread $(if $(SAN),-fsanitize=$(SAN))
LDLIBS  := -lprotobuf-c -lnghttp2 -levent_core -levent_pthreads -lsodium -lcrypto -lsqlite3 -lqrencode -lpng -lz -lconfuse -ljansson

# ---- the API: C from proto/, into $(BUILD)/gen -------------------------------------------------
PROTOS := $(shell find proto -name '*.proto' | sort)
WKT    := google/protobuf/any google/protobuf/duration google/protobuf/field_mask google/protobuf/timestamp
GEN_C  := $(PROTOS:proto/%.proto=$(BUILD)/gen/%.pb-c.c) $(WKT:%=$(BUILD)/gen/%.pb-c.c)
GEN_O  := $(GEN_C:.c=.o)
GEN_STAMP := $(BUILD)/gen/.stamp

# ---- the house ----------------------------------------------------------------------------------
SRC   := $(wildcard src/*/*.c)
MAINS := src/daemon/main.c src/cli/main.c
OBJ   := $(SRC:%.c=$(BUILD)/%.o)
MAIN_O := $(MAINS:%.c=$(BUILD)/%.o)
LIB_O := $(filter-out $(MAIN_O),$(OBJ)) $(GEN_O)
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

$(BUILD)/src/%.o: src/%.c $(GEN_STAMP)
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(CPPFLAGS) -include include/base/banned.h $(CFLAGS) -c -o $@ $<

# ---- unit tests: one program a module ------------------------------------------------------------
UNIT_SRC := $(wildcard tests/unit/*/*_test.c) $(wildcard tests/store/*_test.c)
UNIT_BIN := $(UNIT_SRC:%.c=$(BUILD)/%)
SUPPORT_O := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/support/*.c))
.SECONDARY: $(UNIT_BIN:%=%.o) $(SUPPORT_O)

$(BUILD)/tests/%.o: tests/%.c $(GEN_STAMP)
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(CPPFLAGS) -Itests $(CFLAGS) -c -o $@ $<
$(UNIT_BIN): %: %.o $(SUPPORT_O) $(LIB)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka

units: $(UNIT_BIN)

-include $(OBJ:.o=.d) $(UNIT_BIN:%=%.d) $(SUPPORT_O:.o=.d)
.PHONY: all units
