/* SPDX-License-Identifier: ISC */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

static void fill(struct err_text *why, const char *reason, const char *field, const char *fmt,
                 va_list args) PRINTF_LIKE(4, 0);
static void fill(struct err_text *why, const char *reason, const char *field, const char *fmt,
                 va_list args)
{
    if (why == NULL)
        return;
    why->reason = reason;
    why->field = field;
    why->retry_ms = 0;
    vsnprintf(why->text, sizeof why->text, fmt, args);
}

enum err err_set(struct err_text *why, enum err e, const char *reason, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fill(why, reason, NULL, fmt, args);
    va_end(args);
    return e;
}

enum err err_invalid(struct err_text *why, const char *reason, const char *field, const char *fmt,
                     ...)
{
    va_list args;
    va_start(args, fmt);
    fill(why, reason, field, fmt, args);
    va_end(args);
    return ERR_INVALID;
}

enum err err_limit(struct err_text *why, const char *reason, int64_t retry_ms, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fill(why, reason, NULL, fmt, args);
    va_end(args);
    if (why != NULL)
        why->retry_ms = retry_ms;
    return ERR_LIMIT;
}

const char *err_name(enum err e)
{
    switch (e) {
    case ERR_OK:
        return "ok";
    case ERR_INVALID:
        return "invalid";
    case ERR_NOT_FOUND:
        return "not found";
    case ERR_EXISTS:
        return "exists";
    case ERR_CONFLICT:
        return "conflict";
    case ERR_PRECONDITION:
        return "precondition";
    case ERR_DENIED:
        return "denied";
    case ERR_LIMIT:
        return "limit";
    case ERR_TIMEOUT:
        return "timeout";
    case ERR_UNAVAILABLE:
        return "unavailable";
    case ERR_CORRUPT:
        return "corrupt";
    case ERR_INTERNAL:
        return "internal";
    }
    return "unknown";
}
