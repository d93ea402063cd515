/* SPDX-License-Identifier: ISC */
#ifndef CLI_ARG_INTERNAL_H
#define CLI_ARG_INTERNAL_H

/* From the words of a command line to values. Each returns false for a text that is
 * none, and leaves *out alone then. One thread. */

#include "base/err.h"
#include "twostep/v1/twostep.pb-c.h"

#include <argp.h>
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* yes no on off true false */
MUST_CHECK bool arg_bool(const char *text, bool *out);

/* A decimal number up to max. */
MUST_CHECK bool arg_number(const char *text, uint64_t max, uint64_t *out);

/* "90", "90s", "10m", "2h", "7d" or "1500ms", in milliseconds. */
MUST_CHECK bool arg_duration(const char *text, int64_t *ms_out);

/* RFC 3339, "@1767225600", or "+2h" and "-30s" from now_ms on. */
MUST_CHECK bool arg_time(const char *text, int64_t now_ms, int64_t *unix_ms_out);

/* The value of an enum by its short name (names_parse), for the option that is called
 * option; argp_error with the choices when text is none. */
int arg_enum(const struct argp_state *state, const char *option,
             const ProtobufCEnumDescriptor *type, const char *text);

/* The same for --channel. */
Twostep__V1__Channel arg_channel(const struct argp_state *state, const char *text);

/* For a command's argp parser: takes the positional arguments into args[0..max) and
 * refuses fewer than min or more than max of them; ARGP_ERR_UNKNOWN for other keys. */
error_t arg_positional(int key, char *arg, struct argp_state *state, char **args, unsigned min,
                       unsigned max);

/* Reads a word from standard input into out: the first line, without the spaces around
 * it. ERR_LIMIT when it has cap bytes or more, ERR_NOT_FOUND when there is none. The
 * caller wipes out. */
MUST_CHECK enum err arg_from_stdin(char *out, size_t cap);

#endif
