/* SPDX-License-Identifier: ISC */
#ifndef BASE_JSON_H
#define BASE_JSON_H

/* Writes one flat JSON object, for log lines and audit records: short, one line,
 * and valid whatever bytes it is given (bytes that are not UTF-8 become U+FFFD,
 * control characters and U+2028/2029 are escaped, so nothing can start a new line).
 * The keys are constants of ours. Thread: any, one at a time. */

#include "base/str.h"

struct buf;

void json_begin(struct buf *out);
void json_str(struct buf *out, const char *key, struct str value);
void json_int(struct buf *out, const char *key, int64_t value);
void json_bool(struct buf *out, const char *key, bool value);
void json_end(struct buf *out);

/* key with a point in time, as RFC 3339 in UTC with milliseconds. */
void json_time(struct buf *out, const char *key, int64_t unix_ms);

#endif
