/* SPDX-License-Identifier: ISC */
#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/throttle.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static const struct str level_names[] = {
    [LOG_ERROR] = {"error", 5},
    [LOG_WARN] = {"warn", 4},
    [LOG_INFO] = {"info", 4},
    [LOG_DEBUG] = {"debug", 5},
};
#define N_LEVELS (sizeof level_names / sizeof level_names[0])

static _Atomic int max_level = LOG_INFO;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct throttle throttle = {.per_second = LOG_PER_SECOND}; /* guarded by lock */

void log_set_level(enum log_level level)
{
    atomic_store(&max_level, (int)level);
}

bool log_level_parse(struct str name, enum log_level *out)
{
    for (size_t i = 0; i < N_LEVELS; i++) {
        if (!str_equal(name, level_names[i]))
            continue;
        *out = (enum log_level)i;
        return true;
    }
    return false;
}

/* One write keeps lines of several threads apart. */
static void write_line(const struct buf *line)
{
    size_t done = 0;
    while (done < line->len) {
        ssize_t n = write(STDERR_FILENO, line->data + done, line->len - done);
        if (n < 0 && errno != EINTR)
            return;
        done += n > 0 ? (size_t)n : 0;
    }
}

static void compose(enum log_level level, const char *event, const struct log_field *fields,
                    size_t n)
{
    struct buf line = BUF_INIT;
    json_begin(&line);
    json_time(&line, "time", clock_wall_ms(clock_system()));
    json_str(&line, "level", level_names[level]);
    json_str(&line, "event", str_from(event));
    for (size_t i = 0; i < n; i++) {
        if (fields[i].kind == LOG_FIELD_INT)
            json_int(&line, fields[i].key, fields[i].i);
        else
            json_str(&line, fields[i].key, fields[i].s);
    }
    json_end(&line);
    buf_append_byte(&line, '\n');
    write_line(&line);
    buf_release(&line);
}

void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t n)
{
    if ((int)level > atomic_load(&max_level))
        return;
    int64_t now_ms = clock_mono_ms(clock_system());
    pthread_mutex_lock(&lock);
    bool passes = throttle_take(&throttle, event, now_ms);
    pthread_mutex_unlock(&lock);
    if (passes)
        compose(level, event, fields, n);
}

void log_settle(bool all)
{
    const char *event;
    uint64_t n;
    int64_t now_ms = all ? INT64_MAX : clock_mono_ms(clock_system());
    for (bool more = true; more;) {
        pthread_mutex_lock(&lock);
        more = throttle_settle(&throttle, now_ms, &event, &n);
        pthread_mutex_unlock(&lock);
        if (more)
            compose(LOG_WARN, "left_out",
                    (const struct log_field[]){log_c("of", event), log_i("lines", (int64_t)n)}, 2);
    }
}
