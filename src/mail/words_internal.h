/* SPDX-License-Identifier: ISC */
#ifndef MAIL_WORDS_INTERNAL_H
#define MAIL_WORDS_INTERNAL_H

/* The languages that mails are written in, and times in their words. Thread: any. */

#include "base/err.h"
#include "base/str.h"

struct buf;

enum language { LANGUAGE_EN, LANGUAGE_NL, LANGUAGE_DE, N_LANGUAGES };

/* The tag: "en". */
struct str words_tag(enum language l);

/* The language of a locale; English for one that there is no text in. */
enum language words_language(struct str locale);

/* Times from 1970 to the end of 9999, which is what the functions below take. */
bool words_can_tell(int64_t unix_ms);

/* "25 November 2026 at 14:05 UTC" */
void words_time(struct buf *out, enum language l, int64_t unix_ms);

/* The end of what began then: "25 November 2026 at 15:05 UTC (1 hour after you asked for it)";
 * whole minutes, hours or days, rounded down. */
void words_expiry(struct buf *out, enum language l, int64_t begin_ms, int64_t end_ms);

/* As RFC 5322 section 3.3 has it: "Wed, 25 Nov 2026 14:05:00 +0000" */
void words_header_date(struct buf *out, int64_t unix_ms);

#endif
