/* SPDX-License-Identifier: ISC */
#include "base/metric.h"

#include "base/buf.h"
#include "base/mem.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

#define SHARED    0 /* the share of the threads that came too late for their own */
#define SHARES    (METRIC_OWNERS + 1)
#define UNCLAIMED SHARES

#define LINE_CELLS 8 /* of a cache line */
#define NUMBER_MAX 32

typedef _Atomic int64_t cell_t;

struct metric {
    STAILQ_ENTRY(metric) link;
    char *name, *help;
    enum metric_kind kind;
    size_t n_cells;
    char **labels; /* by cell: a="b",c="d"; empty without labels */
    int64_t unit;
    int64_t *bounds; /* of a histogram */
    size_t n_bounds;
    int64_t (*read)(void *ctx, size_t cell);
    void *ctx;

    /* A cell is `width` numbers: one, or the buckets, the one without a bound, and the sum. A
     * share is `stride` numbers, and shares do not touch the same cache line. */
    size_t width;
    size_t stride;
    cell_t *shares;
};

struct metrics {
    STAILQ_HEAD(, metric) list;
};

/* ---- counting ---- */

static _Atomic uint64_t claims;
static _Thread_local unsigned my_share = UNCLAIMED;

static unsigned claim_share(void)
{
    uint64_t n = atomic_fetch_add(&claims, 1);
    return n < METRIC_OWNERS ? (unsigned)n + 1 : SHARED;
}

static void add(struct metric *m, size_t at, int64_t n)
{
    if (my_share == UNCLAIMED)
        my_share = claim_share();
    cell_t *cell = &m->shares[my_share * m->stride + at];
    if (my_share == SHARED)
        atomic_fetch_add_explicit(cell, n, memory_order_relaxed);
    else /* nobody else writes it */
        atomic_store_explicit(cell, atomic_load_explicit(cell, memory_order_relaxed) + n,
                              memory_order_relaxed);
}

void metric_add(struct metric *m, size_t cell, int64_t n)
{
    if (m != NULL && cell < m->n_cells)
        add(m, cell, n);
}

void metric_observe(struct metric *m, size_t cell, int64_t value)
{
    if (m == NULL || cell >= m->n_cells)
        return;
    size_t bucket = 0;
    while (bucket < m->n_bounds && value > m->bounds[bucket])
        bucket++;
    add(m, cell * m->width + bucket, 1);
    add(m, cell * m->width + m->n_bounds + 1, value);
}

int64_t metric_now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- making ---- */

struct metrics *metrics_new(void)
{
    struct metrics *m = mem_zalloc(1, sizeof *m);
    STAILQ_INIT(&m->list);
    return m;
}

static void free_metric(struct metric *m)
{
    for (size_t i = 0; i < m->n_cells; i++)
        free(m->labels[i]);
    free(m->labels);
    free(m->name);
    free(m->help);
    free(m->bounds);
    free(m->shares);
    free(m);
}

void metrics_free(struct metrics *m)
{
    if (m == NULL)
        return;
    for (struct metric *one; (one = STAILQ_FIRST(&m->list)) != NULL;) {
        STAILQ_REMOVE_HEAD(&m->list, link);
        free_metric(one);
    }
    free(m);
}

static void append_escaped(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\\' || *text == '"')
            buf_append_byte(out, '\\');
        if (*text == '\n')
            buf_append_str(out, STR("\\n"));
        else
            buf_append_byte(out, (uint8_t)*text);
    }
}

static void append_labels(struct buf *out, const struct metric_labels *l, size_t row)
{
    for (size_t i = 0; i < l->n_names; i++) {
        buf_printf(out, "%s%s=\"", out->len > 0 ? "," : "", l->names[i]);
        append_escaped(out, l->values[row * l->n_names + i]);
        buf_append_byte(out, '"');
    }
}

static char *text_of(struct buf *b)
{
    buf_append_byte(b, '\0');
    return (char *)b->data;
}

static size_t count_of(const struct metric_labels *l)
{
    return l->n_names > 0 ? l->n : 1;
}

static void make_labels(struct metric *m, const struct metric_options *opt)
{
    size_t columns = count_of(&opt->columns);
    m->labels = mem_zalloc(m->n_cells, sizeof *m->labels);
    for (size_t i = 0; i < m->n_cells; i++) {
        struct buf text = BUF_INIT;
        append_labels(&text, &opt->rows, i / columns);
        append_labels(&text, &opt->columns, i % columns);
        m->labels[i] = text_of(&text);
    }
}

static void make_cells(struct metric *m)
{
    m->width = m->kind == METRIC_HISTOGRAM ? m->n_bounds + 2 : 1;
    size_t used = m->n_cells * m->width;
    m->stride = (used + LINE_CELLS - 1) / LINE_CELLS * LINE_CELLS + LINE_CELLS;
    m->shares = mem_zalloc(SHARES * m->stride, sizeof *m->shares);
}

static struct metric *find(const struct metrics *m, const char *name)
{
    struct metric *one;
    STAILQ_FOREACH (one, &m->list, link)
        if (strcmp(one->name, name) == 0)
            return one;
    return NULL;
}

struct metric *metric_new(struct metrics *m, const struct metric_options *opt)
{
    if (m == NULL)
        return NULL;
    size_t rows = count_of(&opt->rows), columns = count_of(&opt->columns);
    if (rows > METRIC_CELLS_MAX || columns > METRIC_CELLS_MAX || rows * columns > METRIC_CELLS_MAX)
        abort();
    struct metric *old = find(m, opt->name);
    if (old != NULL) {
        if (old->n_cells != rows * columns)
            abort();
        return old;
    }
    struct metric *one = mem_zalloc(1, sizeof *one);
    one->name = mem_strdup(opt->name);
    one->help = mem_strdup(opt->help);
    one->kind = opt->kind;
    one->n_cells = rows * columns;
    one->unit = opt->unit > 0 ? opt->unit : 1;
    one->n_bounds = opt->n_bounds;
    one->bounds = mem_zalloc(opt->n_bounds + 1, sizeof *one->bounds);
    for (size_t i = 0; i < opt->n_bounds; i++)
        one->bounds[i] = opt->bounds[i];
    one->read = opt->read;
    one->ctx = opt->ctx;
    make_labels(one, opt);
    make_cells(one);
    STAILQ_INSERT_TAIL(&m->list, one, link);
    return one;
}

/* ---- the page ---- */

static int64_t sum_of(const struct metric *m, size_t at)
{
    int64_t sum = 0;
    for (size_t i = 0; i < SHARES; i++)
        sum += atomic_load_explicit(&m->shares[i * m->stride + at], memory_order_relaxed);
    return sum;
}

int64_t metric_value(const struct metric *m, size_t cell)
{
    if (m == NULL || cell >= m->n_cells)
        return 0;
    if (m->read != NULL)
        return m->read(m->ctx, cell);
    if (m->kind != METRIC_HISTOGRAM)
        return sum_of(m, cell);
    int64_t n = 0;
    for (size_t i = 0; i <= m->n_bounds; i++)
        n += sum_of(m, cell * m->width + i);
    return n;
}

/* value / unit, exactly. */
static const char *number(char out[static NUMBER_MAX], int64_t value, int64_t unit)
{
    bool negative = value < 0;
    uint64_t u = (uint64_t)unit;
    uint64_t left = negative ? 0 - (uint64_t)value : (uint64_t)value;
    int n =
        snprintf(out, NUMBER_MAX, "%s%llu", negative ? "-" : "", (unsigned long long)(left / u));
    left %= u;
    if (left > 0)
        out[n++] = '.';
    for (u /= 10; left > 0; u /= 10) {
        out[n++] = (char)('0' + left / u);
        left %= u;
    }
    out[n] = '\0';
    return out;
}

/* One line; extra is a label more, or NULL. */
static void append_sample(struct buf *out, const struct metric *m, size_t cell, const char *suffix,
                          const char *extra, const char *value)
{
    const char *labels = m->labels[cell];
    buf_printf(out, "%s%s", m->name, suffix);
    if (labels[0] != '\0' || extra != NULL)
        buf_printf(out, "{%s%s%s}", labels, labels[0] != '\0' && extra != NULL ? "," : "",
                   extra != NULL ? extra : "");
    buf_printf(out, " %s\n", value);
}

static void append_histogram(struct buf *out, const struct metric *m, size_t cell)
{
    char value[NUMBER_MAX], bound[NUMBER_MAX], le[NUMBER_MAX + 8];
    int64_t n = 0;
    for (size_t i = 0; i <= m->n_bounds; i++) {
        n += sum_of(m, cell * m->width + i);
        bool last = i == m->n_bounds;
        snprintf(le, sizeof le, "le=\"%s\"", last ? "+Inf" : number(bound, m->bounds[i], m->unit));
        append_sample(out, m, cell, "_bucket", le, number(value, n, 1));
    }
    int64_t sum = sum_of(m, cell * m->width + m->n_bounds + 1);
    append_sample(out, m, cell, "_sum", NULL, number(value, sum, m->unit));
    append_sample(out, m, cell, "_count", NULL, number(value, n, 1));
}

void metrics_render(const struct metrics *m, struct buf *out)
{
    static const char *const kinds[] = {
        [METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram"};
    const struct metric *one;
    STAILQ_FOREACH (one, &m->list, link) {
        buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", one->name, one->help, one->name,
                   kinds[one->kind]);
        for (size_t i = 0; i < one->n_cells; i++) {
            char value[NUMBER_MAX];
            if (one->kind == METRIC_HISTOGRAM)
                append_histogram(out, one, i);
            else
                append_sample(out, one, i, "", NULL,
                              number(value, metric_value(one, i), one->unit));
        }
    }
}
