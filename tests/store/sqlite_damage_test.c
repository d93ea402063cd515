/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* Files that are not as they were left: whatever is in them, nothing crashes or hangs, and a
 * write-ahead log is believed up to its first wrong byte and no further.
 * TWOSTEP_TEST_ROUNDS: how many of each; TWOSTEP_TEST_SEED: the first. */

#include "store/sqlite_internal.h"
#include "store/store_sqlite.h"
#include "support/scratch.h"
#include "support/store_load.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROUNDS   300
#define BATCHES  20
#define PAGE     4096
#define FILE_MAX (1024 * 1024)

static struct scratch scratch;

/* The files as they were left, and as they are damaged. */
struct content {
    size_t len;
    unsigned char bytes[FILE_MAX];
};
static struct content db, db_open, wal_open, damaged;

static uint64_t random_state;

static uint32_t below(uint32_t n)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(random_state >> 33) % n;
}

static uint64_t number(const char *name, uint64_t preset)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : preset;
}

static void read_file(const char *name, struct content *out)
{
    FILE *f = fopen(scratch_path(&scratch, name), "r");
    assert_non_null(f);
    out->len = fread(out->bytes, 1, sizeof out->bytes, f);
    assert_true(out->len > 0 && out->len < sizeof out->bytes);
    fclose(f);
}

static void write_file(const char *name, const struct content *c)
{
    int fd = open(scratch_path(&scratch, name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, c->bytes, c->len), c->len);
    close(fd);
}

static void remove_all(void)
{
    (void)unlink(scratch_path(&scratch, "db"));
    (void)unlink(scratch_path(&scratch, "db-wal"));
}

static struct store *open_store(struct err_text *why)
{
    struct store *s = NULL;
    if (store_sqlite_open(&s, scratch_path(&scratch, "db"), why) != ERR_OK)
        return NULL;
    sqlite_store_of(s)->log.fold.after = 30;
    sqlite_store_of(s)->log.fold.share = 0;
    return s;
}

static int setup(void **state)
{
    (void)state;
    struct err_text why;
    scratch_init(&scratch);
    struct store *s = open_store(&why);
    assert_non_null(s);
    for (unsigned n = 1; n <= BATCHES; n++)
        assert_int_equal(store_load_batch(s, n, &why), ERR_OK);
    /* As a killed process leaves them. Reading them here ends the lock, which nobody needs. */
    read_file("db", &db_open);
    read_file("db-wal", &wal_open);
    s->ops->close(s);
    read_file("db", &db);
    remove_all();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scratch_release(&scratch);
    return 0;
}

/* One of several ways that files go bad. */
static void damage(struct content *c)
{
    uint32_t pages = (uint32_t)(c->len / PAGE);
    switch (below(6)) {
    case 0: /* one bit */
        c->bytes[below((uint32_t)c->len)] ^= (unsigned char)(1u << below(8));
        break;
    case 1: /* bytes here and there */
        for (uint32_t n = 1 + below(40); n > 0; n--)
            c->bytes[below((uint32_t)c->len)] = (unsigned char)below(256);
        break;
    case 2: /* bytes at the head of a page, where its kind and its cells are told */
        for (uint32_t n = 1 + below(8), page = below(pages); n > 0; n--)
            c->bytes[page * PAGE + below(64)] = (unsigned char)below(256);
        break;
    case 3: /* an empty page */
        memset(c->bytes + below(pages) * PAGE, 0, PAGE);
        break;
    case 4: /* a page in another one's place */
        memmove(c->bytes + below(pages) * PAGE, c->bytes + below(pages) * PAGE, PAGE);
        break;
    default: /* the end is missing */
        c->len = 1 + below((uint32_t)c->len);
        break;
    }
}

/* Uses the store in every way; what it answers is its business. */
static void use(struct store *s)
{
    struct err_text why;
    (void)store_load_count(s, &why);
    for (unsigned n = BATCHES + 1; n <= BATCHES + 6; n++)
        (void)!store_load_batch(s, n, &why);
    (void)store_load_count(s, &why);
}

static void for_each_seed(void (*act)(uint64_t seed))
{
    uint64_t n = number("TWOSTEP_TEST_ROUNDS", ROUNDS);
    uint64_t first = number("TWOSTEP_TEST_SEED", 1);
    for (uint64_t seed = first; seed < first + n; seed++) {
        random_state = seed;
        for (int i = 0; i < 10; i++)
            (void)below(2);
        act(seed);
        remove_all();
    }
}

static void open_damaged(uint64_t seed)
{
    struct err_text why;
    (void)seed;
    damaged = db;
    damage(&damaged);
    write_file("db", &damaged);
    struct store *s = open_store(&why);
    if (s == NULL)
        return;
    use(s);
    s->ops->close(s);
}

static void test_a_damaged_database(void **state)
{
    (void)state;
    for_each_seed(open_damaged);
}

static void open_damaged_log(uint64_t seed)
{
    struct err_text why = {0};
    damaged = wal_open;
    damage(&damaged);
    write_file("db", &db_open);
    write_file("db-wal", &damaged);
    struct store *s = open_store(&why);
    if (s == NULL)
        fail_msg("seed %llu: %s", (unsigned long long)seed, why.text);
    int n = store_load_count(s, &why);
    if (n < 0 || n > BATCHES)
        fail_msg("seed %llu: %d batches count: %s", (unsigned long long)seed, n, why.text);
    if (store_load_batch(s, (unsigned)n + 1, &why) != ERR_OK)
        fail_msg("seed %llu: %s", (unsigned long long)seed, why.text);
    s->ops->close(s);
}

static void test_a_damaged_log(void **state)
{
    (void)state;
    for_each_seed(open_damaged_log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_damaged_database, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_damaged_log, setup, teardown),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
