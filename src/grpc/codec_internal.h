/* SPDX-License-Identifier: ISC */
#ifndef GRPC_CODEC_INTERNAL_H
#define GRPC_CODEC_INTERNAL_H

/* The three encodings of gRPC's headers (PROTOCOL-HTTP2.md): percent-encoding of
 * grpc-message, base64 of "-bin" values, and grpc-timeout. Pure functions on borrowed
 * bytes; the caller has the room. Thread: any. */

#include "base/str.h"

/* Room that is always enough for an encoded value of n bytes. */
#define CODEC_PERCENT_MAX(n) ((n)*3)
#define CODEC_BASE64_MAX(n)  (((n) + 2) / 3 * 4)
/* Room for what n bytes of text decode to. */
#define CODEC_BASE64_DECODED_MAX(n) ((n) / 4 * 3 + 2)
/* Eight digits and a unit. */
#define CODEC_TIMEOUT_MAX 9

/* Printable ASCII without '%' stands for itself, every other byte and a space at
 * either end becomes %XX. Returns the length. */
size_t codec_percent_encode(char *out, struct str s);

/* Into at most s.len bytes; returns the length. A '%' that no two digits follow
 * stands for itself: a status text must not fail for its form. */
size_t codec_percent_decode(char *out, struct str s);

/* Does a metadata name say that its value is bytes, and base64 on the wire? */
bool codec_is_binary(struct str name);

/* RFC 4648 section 4 without padding. Returns the length. */
size_t codec_base64_encode(char *out, struct str bytes);

/* The same with or without padding; false for anything else. */
bool codec_base64_decode(char *out, size_t *len_out, struct str text);

/* "100m" and the like, in milliseconds, rounded up. False for what is no timeout. */
bool codec_timeout_parse(struct str s, int64_t *ms_out);

/* The shortest exact form, or the next unit up when eight digits do not hold it.
 * ms is not negative. Returns the length. */
size_t codec_timeout_format(char out[static CODEC_TIMEOUT_MAX], int64_t ms);

#endif
