/* SPDX-License-Identifier: ISC */
#ifndef BASE_LOG_H
#define BASE_LOG_H

/* The daemon's log: one JSON object a line on standard error, written with one
 * write(2). The layer that decides logs a failure, once; layers below return it.
 * A field is a string or a number; there is no way to hand in a struct secret. Whatever bytes a
 * string has, it stays inside its line. Of one event at most LOG_PER_SECOND lines a second are
 * written: what a peer can make happen does not fill the disk.
 * Thread: any. */

#include "base/str.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct log_field {
    const char *key;
    enum { LOG_FIELD_STR, LOG_FIELD_INT } kind;
    struct str s;
    int64_t i;
};

static inline struct log_field log_s(const char *key, struct str value)
{
    return (struct log_field){.key = key, .kind = LOG_FIELD_STR, .s = value};
}

static inline struct log_field log_c(const char *key, const char *value)
{
    return log_s(key, str_from(value));
}

static inline struct log_field log_i(const char *key, int64_t value)
{
    return (struct log_field){.key = key, .kind = LOG_FIELD_INT, .i = value};
}

/* log_event(LOG_INFO, "listening", log_c("address", a), log_i("loops", n));
 * event is a constant. Every call has at least one field. */
#define log_event(level, event, ...)                                                               \
    log_write(level, event, (const struct log_field[]){__VA_ARGS__},                               \
              sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))

void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t n);

#define LOG_PER_SECOND 20

/* Writes one line `left_out` for each event of which lines were left out in a second that is
 * over; with all, also of this one. Call it about once a second, and with all at the end. */
void log_settle(bool all);

/* Lines above this level are not written. Starts at LOG_INFO. */
void log_set_level(enum log_level level);
bool log_level_parse(struct str name, enum log_level *out);

#endif
