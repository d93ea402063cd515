/* SPDX-License-Identifier: ISC */
#ifndef BASE_METRIC_H
#define BASE_METRIC_H

/* Numbers for a monitoring system, as one page in Prometheus' text format (version 0.0.4).
 *
 * A metric is a table of cells that are all there from its beginning. Labels come from tables of
 * constants when it is made, and an event names its cell by a number: nothing that a peer sends
 * can make one more. Counting takes no lock and no memory, and the first METRIC_OWNERS threads
 * that count have cells of their own, without an atomic operation on memory that is shared. The
 * page adds up what the threads have.
 * Thread: startup for making and freeing, any for the rest. */

#include <stddef.h>
#include <stdint.h>

struct buf;
struct metric;
struct metrics;

#define METRIC_OWNERS     15
#define METRIC_LABELS_MAX 4     /* of rows and of columns */
#define METRIC_CELLS_MAX  65536 /* of one metric */

struct metrics *metrics_new(void);
void metrics_free(struct metrics *m);

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* One dimension of a metric: n rows, each with a value for every name. */
struct metric_labels {
    size_t n_names;
    const char *names[METRIC_LABELS_MAX];
    size_t n;
    const char *const *values; /* n times n_names, row by row */
};

/* Everything is copied, but for read and its ctx. */
struct metric_options {
    const char *name, *help;
    enum metric_kind kind;
    struct metric_labels rows, columns; /* zero bytes: one, without a label */
    int64_t unit; /* so many of what is counted are 1 on the page, a power of ten; 0: 1 */

    /* METRIC_HISTOGRAM: the upper bounds of its buckets, ascending, as what is counted. */
    const int64_t *bounds;
    size_t n_bounds;

    /* Not for a histogram; NULL: what was counted. Asked for a cell's number when the page is
     * made. Thread: the one that makes it. */
    int64_t (*read)(void *ctx, size_t cell);
    void *ctx;
};

/* A metric of m, which owns it. The one that m has of this name already, when there is one: then
 * it has to have as many cells. With m NULL: NULL, which may be counted on in vain. */
struct metric *metric_new(struct metrics *m, const struct metric_options *opt);

/* Adds n to a cell (row times columns, plus column) of a counter or gauge. A number that is no
 * cell's is not counted. */
void metric_add(struct metric *m, size_t cell, int64_t n);

/* Takes a value into a cell of a histogram. */
void metric_observe(struct metric *m, size_t cell, int64_t value);

/* What a cell of a counter or gauge stands at; of a histogram, how many values it took. */
int64_t metric_value(const struct metric *m, size_t cell);

/* Microseconds on the system's monotonic clock, for what is observed. */
int64_t metric_now_us(void);

/* Appends the page. */
void metrics_render(const struct metrics *m, struct buf *out);

#endif
