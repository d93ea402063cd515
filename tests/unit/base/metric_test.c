/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/metric.h"

#include <pthread.h>
#include <string.h>

static const char *const colours[] = {"red", "green"};
static const char *const places[] = {"a", "1", "b", "2", "c", "3"};
static const struct metric_labels by_colour = {
    .n_names = 1, .names = {"colour"}, .n = 2, .values = colours};
static const struct metric_labels by_place = {
    .n_names = 2, .names = {"street", "number"}, .n = 3, .values = places};

static void assert_page(const struct metrics *m, const char *want)
{
    struct buf page = BUF_INIT;
    metrics_render(m, &page);
    buf_append_byte(&page, '\0');
    assert_string_equal((char *)page.data, want);
    buf_release(&page);
}

static void every_cell_is_on_the_page_from_the_beginning(void **state)
{
    (void)state;
    struct metrics *m = metrics_new();
    struct metric *doors = metric_new(m, &(struct metric_options){.name = "doors_total",
                                                                  .help = "Doors painted.",
                                                                  .rows = by_place,
                                                                  .columns = by_colour});
    metric_add(doors, 1 * 2 + 1, 7);
    assert_page(m, "# HELP doors_total Doors painted.\n"
                   "# TYPE doors_total counter\n"
                   "doors_total{street=\"a\",number=\"1\",colour=\"red\"} 0\n"
                   "doors_total{street=\"a\",number=\"1\",colour=\"green\"} 0\n"
                   "doors_total{street=\"b\",number=\"2\",colour=\"red\"} 0\n"
                   "doors_total{street=\"b\",number=\"2\",colour=\"green\"} 7\n"
                   "doors_total{street=\"c\",number=\"3\",colour=\"red\"} 0\n"
                   "doors_total{street=\"c\",number=\"3\",colour=\"green\"} 0\n");
    metrics_free(m);
}

static void numbers_are_exact_in_their_unit(void **state)
{
    (void)state;
    static const struct {
        int64_t value, unit;
        const char *text;
    } cases[] = {
        {0, 0, "0"},
        {5, 1, "5"},
        {-5, 1, "-5"},
        {1, 1000000, "0.000001"},
        {-1500, 1000, "-1.5"},
        {1234567000, 1000000, "1234.567"},
        {1000, 1000, "1"},
        {INT64_MAX, 1000000, "9223372036854.775807"},
        {INT64_MIN, 1, "-9223372036854775808"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct metrics *m = metrics_new();
        struct metric *g = metric_new(
            m, &(struct metric_options){
                   .name = "g", .help = "G.", .kind = METRIC_GAUGE, .unit = cases[i].unit});
        metric_add(g, 0, cases[i].value);
        struct buf want = BUF_INIT;
        buf_printf(&want, "# HELP g G.\n# TYPE g gauge\ng %s\n", cases[i].text);
        buf_append_byte(&want, '\0');
        assert_page(m, (char *)want.data);
        buf_release(&want);
        metrics_free(m);
    }
}

static void a_value_is_in_the_bucket_of_the_bound_that_it_does_not_pass(void **state)
{
    (void)state;
    static const int64_t bounds[] = {5000, 1000000};
    struct metrics *m = metrics_new();
    struct metric *h = metric_new(m, &(struct metric_options){.name = "h_seconds",
                                                              .help = "H.",
                                                              .kind = METRIC_HISTOGRAM,
                                                              .rows = by_colour,
                                                              .unit = 1000000,
                                                              .bounds = bounds,
                                                              .n_bounds = 2});
    static const int64_t values[] = {0, 5000, 5001, 1000000, 1000001, 60000000};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        metric_observe(h, 1, values[i]);
    assert_page(m, "# HELP h_seconds H.\n"
                   "# TYPE h_seconds histogram\n"
                   "h_seconds_bucket{colour=\"red\",le=\"0.005\"} 0\n"
                   "h_seconds_bucket{colour=\"red\",le=\"1\"} 0\n"
                   "h_seconds_bucket{colour=\"red\",le=\"+Inf\"} 0\n"
                   "h_seconds_sum{colour=\"red\"} 0\n"
                   "h_seconds_count{colour=\"red\"} 0\n"
                   "h_seconds_bucket{colour=\"green\",le=\"0.005\"} 2\n"
                   "h_seconds_bucket{colour=\"green\",le=\"1\"} 4\n"
                   "h_seconds_bucket{colour=\"green\",le=\"+Inf\"} 6\n"
                   "h_seconds_sum{colour=\"green\"} 62.010002\n"
                   "h_seconds_count{colour=\"green\"} 6\n");
    assert_int_equal(metric_value(h, 1), 6);
    metrics_free(m);
}

static void a_number_that_is_no_cells_is_not_counted(void **state)
{
    (void)state;
    static const int64_t bounds[] = {1};
    struct metrics *m = metrics_new();
    struct metric *c =
        metric_new(m, &(struct metric_options){.name = "c", .help = "C.", .rows = by_colour});
    struct metric *h = metric_new(
        m,
        &(struct metric_options){
            .name = "h", .help = "H.", .kind = METRIC_HISTOGRAM, .bounds = bounds, .n_bounds = 1});
    metric_add(c, 2, 1);
    metric_add(c, SIZE_MAX, 1);
    metric_observe(h, 1, 1);
    assert_int_equal(metric_value(c, 0) + metric_value(c, 1) + metric_value(c, 2), 0);
    assert_int_equal(metric_value(h, 0) + metric_value(h, 1), 0);
    metrics_free(m);
}

static int64_t ten_times(void *ctx, size_t cell)
{
    return *(const int64_t *)ctx + 10 * (int64_t)cell;
}

static void what_is_read_is_asked_for_at_each_page(void **state)
{
    (void)state;
    int64_t base = 1;
    struct metrics *m = metrics_new();
    (void)metric_new(m, &(struct metric_options){.name = "g",
                                                 .help = "G.",
                                                 .kind = METRIC_GAUGE,
                                                 .rows = by_colour,
                                                 .read = ten_times,
                                                 .ctx = &base});
    assert_page(m, "# HELP g G.\n# TYPE g gauge\n"
                   "g{colour=\"red\"} 1\ng{colour=\"green\"} 11\n");
    base = 2;
    assert_page(m, "# HELP g G.\n# TYPE g gauge\n"
                   "g{colour=\"red\"} 2\ng{colour=\"green\"} 12\n");
    metrics_free(m);
}

static void values_of_labels_are_escaped(void **state)
{
    (void)state;
    static const char *const odd[] = {"a\"b\\c\nd"};
    struct metrics *m = metrics_new();
    struct metric_labels labels = {.n_names = 1, .names = {"l"}, .n = 1, .values = odd};
    (void)metric_new(m, &(struct metric_options){.name = "c", .help = "C.", .rows = labels});
    assert_page(m, "# HELP c C.\n# TYPE c counter\nc{l=\"a\\\"b\\\\c\\nd\"} 0\n");
    metrics_free(m);
}

static void one_name_is_one_metric(void **state)
{
    (void)state;
    struct metrics *m = metrics_new();
    struct metric_options opt = {.name = "c", .help = "C."};
    struct metric *first = metric_new(m, &opt);
    assert_ptr_equal(metric_new(m, &opt), first);
    opt.name = "d";
    assert_ptr_not_equal(metric_new(m, &opt), first);
    metrics_free(m);
}

static void without_a_registry_counting_does_nothing(void **state)
{
    (void)state;
    struct metric *none = metric_new(NULL, &(struct metric_options){.name = "c", .help = "C."});
    assert_null(none);
    metric_add(none, 0, 1);
    metric_observe(none, 0, 1);
    assert_int_equal(metric_value(none, 0), 0);
    metrics_free(NULL);
}

#define THREADS (METRIC_OWNERS + 8) /* some have to share */
#define ROUNDS  200000

static const int64_t thread_bounds[] = {10};

struct counted {
    struct metric *counter, *gauge, *histogram;
    pthread_barrier_t start;
};

static void *count(void *arg)
{
    struct counted *c = arg;
    pthread_barrier_wait(&c->start);
    for (int i = 0; i < ROUNDS; i++) {
        metric_add(c->counter, (size_t)i % 2, 1);
        metric_add(c->gauge, 0, i % 2 == 0 ? 1 : -1);
        metric_observe(c->histogram, 0, i % 20);
    }
    return NULL;
}

static void nothing_is_lost_between_threads(void **state)
{
    (void)state;
    struct metrics *m = metrics_new();
    struct counted c = {
        .counter =
            metric_new(m, &(struct metric_options){.name = "c", .help = "C.", .rows = by_colour}),
        .gauge = metric_new(
            m, &(struct metric_options){.name = "g", .help = "G.", .kind = METRIC_GAUGE}),
        .histogram = metric_new(m, &(struct metric_options){.name = "h",
                                                            .help = "H.",
                                                            .kind = METRIC_HISTOGRAM,
                                                            .bounds = thread_bounds,
                                                            .n_bounds = 1})};
    pthread_t threads[THREADS];
    pthread_barrier_init(&c.start, NULL, THREADS);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count, &c), 0);
    struct buf page = BUF_INIT; /* while they count */
    metrics_render(m, &page);
    buf_release(&page);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&c.start);
    assert_int_equal(metric_value(c.counter, 0), THREADS * ROUNDS / 2);
    assert_int_equal(metric_value(c.counter, 1), THREADS * ROUNDS / 2);
    assert_int_equal(metric_value(c.gauge, 0), 0);
    assert_int_equal(metric_value(c.histogram, 0), THREADS * ROUNDS);
    metrics_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cell_is_on_the_page_from_the_beginning),
        cmocka_unit_test(numbers_are_exact_in_their_unit),
        cmocka_unit_test(a_value_is_in_the_bucket_of_the_bound_that_it_does_not_pass),
        cmocka_unit_test(a_number_that_is_no_cells_is_not_counted),
        cmocka_unit_test(what_is_read_is_asked_for_at_each_page),
        cmocka_unit_test(values_of_labels_are_escaped),
        cmocka_unit_test(one_name_is_one_metric),
        cmocka_unit_test(without_a_registry_counting_does_nothing),
        cmocka_unit_test(nothing_is_lost_between_threads),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
