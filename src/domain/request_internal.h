/* SPDX-License-Identifier: ISC */
#ifndef DOMAIN_REQUEST_INTERNAL_H
#define DOMAIN_REQUEST_INTERNAL_H

/* Marks a retry-safe request. Thread: worker. */

#include "base/err.h"
#include "store/attempt.h"

struct domain;

/* id is REQUEST_ID_LEN bytes. The fingerprint is a keyed hash of the parts, so that the same id
 * with other fields is noticed, and a copy of the database does not tell which codes were
 * tried. */
MUST_CHECK enum err request_mark_make(struct domain *d, const uint8_t *id, const struct str *parts,
                                      size_t n, struct request_mark *out, struct err_text *why);

/* The channel as a part. */
struct str request_channel(int channel);

#endif
