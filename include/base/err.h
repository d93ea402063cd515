/* SPDX-License-Identifier: ISC */
#ifndef BASE_ERR_H
#define BASE_ERR_H

/* One convention for failure, everywhere.
 *
 * A function that can fail returns enum err and must be checked. Its answers go
 * out through *_out parameters, which are written only on ERR_OK. An answer is
 * never an error: a wrong code is an answer, a store that is down is an error.
 * Thread: any. */

#include <stdint.h>

#define MUST_CHECK             __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

enum err {
    ERR_OK = 0,
    ERR_INVALID,      /* the input breaks a rule of its format */
    ERR_NOT_FOUND,    /* no such thing */
    ERR_EXISTS,       /* there is one already */
    ERR_CONFLICT,     /* somebody else changed it meanwhile */
    ERR_PRECONDITION, /* not in this state; err_text.reason says which */
    ERR_DENIED,       /* not allowed for this caller or by file permissions */
    ERR_LIMIT,        /* a bound was reached: queue, size, rate */
    ERR_TIMEOUT,      /* too late */
    ERR_UNAVAILABLE,  /* could not decide now; the same request may work later */
    ERR_CORRUPT,      /* stored bytes that do not open or make no sense: alarm */
    ERR_INTERNAL,     /* a bug of ours, or a library refused what cannot fail */
};

/* The words beside an enum err. reason is a constant in UPPER_SNAKE_CASE for
 * programs (NULL: none), text is for people and never holds a secret. */
struct err_text {
    const char *reason;
    const char *field; /* for ERR_INVALID: the field's name, a constant; else NULL */
    int64_t retry_ms;  /* for ERR_LIMIT: when it may work, if that is known; else 0 */
    char text[200];
};

/* Fill *why (may be NULL) and return e, so that a failure is one statement.
 * reason must outlive *why: pass a literal or NULL. */
enum err err_set(struct err_text *why, enum err e, const char *reason, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

/* err_set with ERR_INVALID for a field of the input. */
enum err err_invalid(struct err_text *why, const char *reason, const char *field, const char *fmt,
                     ...) PRINTF_LIKE(4, 5);

/* err_set with ERR_LIMIT, and when to try again. */
enum err err_limit(struct err_text *why, const char *reason, int64_t retry_ms, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

/* The name of e, for logs: "unavailable". Never NULL. */
const char *err_name(enum err e);

/* Return from the calling function when expr failed. */
#define TRY(expr)                                                                                  \
    do {                                                                                           \
        enum err try_err_ = (expr);                                                                \
        if (try_err_ != ERR_OK)                                                                    \
            return try_err_;                                                                       \
    } while (0)

#endif
