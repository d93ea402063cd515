/* SPDX-License-Identifier: ISC */
#ifndef CLI_RFC3339_INTERNAL_H
#define CLI_RFC3339_INTERNAL_H

/* Points in time as RFC 3339 writes them. Thread: any. */

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define RFC3339_MAX 96 /* whatever numbers a struct tm could hold */

/* "2026-03-01T09:00:00Z", in UTC, with 3, 6 or 9 digits of a second's fraction where it
 * has one (the JSON form of google.protobuf.Timestamp). False for a year that does not
 * have four digits and for nanos that are not below a second. */
MUST_CHECK bool rfc3339_format(char out[static RFC3339_MAX], int64_t seconds, int32_t nanos);

/* "" for no fraction, else a dot and 3, 6 or 9 digits. nanos is 0 to 999,999,999. */
#define RFC3339_FRACTION_MAX 12
void rfc3339_fraction(char out[static RFC3339_FRACTION_MAX], int32_t nanos);

/* Milliseconds since 1970, from UTC ("Z") or with an offset ("+01:00"); what is finer is
 * cut off. False when text is no such time. */
MUST_CHECK bool rfc3339_parse(const char *text, int64_t *unix_ms_out);

#endif
