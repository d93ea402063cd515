/* SPDX-License-Identifier: ISC */
#ifndef STORE_SQLITE_ROW_INTERNAL_H
#define STORE_SQLITE_ROW_INTERNAL_H

/* Reads the columns of a row from left to right and checks that each fits where it goes: a
 * damaged file can hold anything. One that does not makes the row bad, and what was read of
 * the row must not be used. Thread: worker. */

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sqlite3_stmt;

struct sqlite_row {
    struct sqlite3_stmt *stmt;
    int column; /* the next */
    bool bad;
};

/* A number from -SQLITE_ROW_INT_MAX to SQLITE_ROW_INT_MAX: it can be added to. */
#define SQLITE_ROW_INT_MAX (INT64_C(1) << 62)
int64_t sqlite_row_int(struct sqlite_row *r);

/* A number from 0 to max. */
uint32_t sqlite_row_uint(struct sqlite_row *r, uint32_t max);

/* Exactly n bytes; at most cap bytes, and how many. */
void sqlite_row_bytes(struct sqlite_row *r, uint8_t *out, size_t n);
size_t sqlite_row_blob(struct sqlite_row *r, uint8_t *out, size_t cap);

/* Text that fits into out[cap] with its end. */
void sqlite_row_text(struct sqlite_row *r, char *out, size_t cap);

/* Is the next column NULL? Does not move on unless it is. */
bool sqlite_row_null(struct sqlite_row *r);

/* ERR_CORRUPT when the row is bad. what is "a policy". */
MUST_CHECK enum err sqlite_row_check(const struct sqlite_row *r, const char *what,
                                     struct err_text *why);

#endif
