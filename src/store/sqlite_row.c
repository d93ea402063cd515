/* SPDX-License-Identifier: ISC */
#include "sqlite_row_internal.h"

#include <sqlite3.h>
#include <string.h>

int64_t sqlite_row_int(struct sqlite_row *r)
{
    int64_t n = sqlite3_column_int64(r->stmt, r->column++);
    if (n < -SQLITE_ROW_INT_MAX || n > SQLITE_ROW_INT_MAX) {
        r->bad = true;
        return 0;
    }
    return n;
}

uint32_t sqlite_row_uint(struct sqlite_row *r, uint32_t max)
{
    int64_t n = sqlite_row_int(r);
    if (n < 0 || n > (int64_t)max) {
        r->bad = true;
        return 0;
    }
    return (uint32_t)n;
}

size_t sqlite_row_blob(struct sqlite_row *r, uint8_t *out, size_t cap)
{
    int column = r->column++;
    const void *bytes = sqlite3_column_blob(r->stmt, column);
    size_t n = (size_t)sqlite3_column_bytes(r->stmt, column);
    if (n > cap || (bytes == NULL && n > 0)) {
        r->bad = true;
        return 0;
    }
    if (n > 0)
        memcpy(out, bytes, n);
    return n;
}

void sqlite_row_bytes(struct sqlite_row *r, uint8_t *out, size_t n)
{
    if (sqlite_row_blob(r, out, n) != n)
        r->bad = true;
}

void sqlite_row_text(struct sqlite_row *r, char *out, size_t cap)
{
    int column = r->column++;
    const void *bytes = sqlite3_column_text(r->stmt, column);
    size_t n = (size_t)sqlite3_column_bytes(r->stmt, column);
    if (bytes == NULL || n >= cap) {
        r->bad = true;
        return;
    }
    memcpy(out, bytes, n);
    out[n] = '\0';
}

bool sqlite_row_null(struct sqlite_row *r)
{
    bool null = sqlite3_column_type(r->stmt, r->column) == SQLITE_NULL;
    if (null)
        r->column++;
    return null;
}

enum err sqlite_row_check(const struct sqlite_row *r, const char *what, struct err_text *why)
{
    if (!r->bad)
        return ERR_OK;
    return err_set(why, ERR_CORRUPT, NULL, "the database holds %s that makes no sense", what);
}
