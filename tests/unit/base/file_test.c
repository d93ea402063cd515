/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"
#include "support/scratch.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define CAP 16

static struct scratch scratch;

static int setup(void **state)
{
    (void)state;
    scratch_init(&scratch);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scratch_release(&scratch);
    return 0;
}

static const uint8_t *bytes(const char *text)
{
    return (const uint8_t *)text;
}

static void assert_content(const char *path, const char *want)
{
    uint8_t got[CAP];
    size_t len = 0;
    assert_int_equal(file_read_private(path, got, sizeof got, &len, NULL), ERR_OK);
    assert_int_equal(len, strlen(want));
    assert_memory_equal(got, want, len);
}

static void test_written_file_reads_back(void **state)
{
    (void)state;
    const char *path = scratch_path(&scratch, "key");
    mode_t before = umask(0);
    assert_int_equal(file_write_private(path, bytes("first"), 5, true, NULL), ERR_OK);
    umask(0777);
    assert_int_equal(file_write_private(path, bytes("second"), 6, false, NULL), ERR_OK);
    umask(before);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_content(path, "second");
    assert_int_equal(file_write_private(path, NULL, 0, false, NULL), ERR_OK);
    assert_content(path, "");
    assert_int_equal(scratch_count(&scratch), 1);
}

static void test_path_without_folder(void **state)
{
    (void)state;
    char here[SCRATCH_PATH_MAX];
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(scratch.folder), 0);
    enum err e = file_write_private("bare", bytes("x"), 1, true, NULL);
    assert_int_equal(chdir(here), 0);
    assert_int_equal(e, ERR_OK);
    assert_content(scratch_path(&scratch, "bare"), "x");
}

static void test_create_only_never_replaces(void **state)
{
    (void)state;
    const char *path = scratch_write(&scratch, "key", "old", 0600);
    struct err_text why;
    assert_int_equal(file_write_private(path, bytes("new"), 3, true, &why), ERR_EXISTS);
    assert_non_null(strstr(why.text, path));
    assert_content(path, "old");
    assert_int_equal(scratch_count(&scratch), 1);
}

/* An answer is written on success only, and each refusal says which file. */
static void assert_refused(const char *path, size_t cap, enum err want)
{
    uint8_t got[CAP];
    size_t len = 4711;
    struct err_text why = {0};
    assert_int_equal(file_read_private(path, got, cap, &len, &why), want);
    assert_int_equal(len, 4711);
    assert_non_null(strstr(why.text, path));
}

static void test_open_to_others_is_refused(void **state)
{
    (void)state;
    static const mode_t open_modes[] = {0644, 0640, 0620, 0604, 0602, 0666};
    static const mode_t private_modes[] = {0600, 0400, 0700};
    for (size_t i = 0; i < sizeof open_modes / sizeof *open_modes; i++) {
        const char *path = scratch_write(&scratch, "key", "x", open_modes[i]);
        assert_int_equal(file_check_private(path, NULL), ERR_DENIED);
        assert_refused(path, CAP, ERR_DENIED);
        assert_int_equal(unlink(path), 0);
    }
    for (size_t i = 0; i < sizeof private_modes / sizeof *private_modes; i++) {
        const char *path = scratch_write(&scratch, "key", "x", private_modes[i]);
        assert_int_equal(file_check_private(path, NULL), ERR_OK);
        assert_int_equal(unlink(path), 0);
    }
}

static void test_mode_counts_behind_a_link(void **state)
{
    (void)state;
    char link_path[SCRATCH_PATH_MAX];
    snprintf(link_path, sizeof link_path, "%s", scratch_path(&scratch, "link"));
    const char *path = scratch_write(&scratch, "key", "x", 0600);
    assert_int_equal(symlink(path, link_path), 0);
    assert_content(link_path, "x");
    assert_int_equal(chmod(path, 0644), 0);
    assert_refused(link_path, CAP, ERR_DENIED);
}

static void test_what_is_no_file_is_refused(void **state)
{
    (void)state;
    assert_refused(scratch_path(&scratch, "missing"), CAP, ERR_NOT_FOUND);
    assert_refused(scratch_path(&scratch, "missing/key"), CAP, ERR_NOT_FOUND);
    assert_refused(scratch.folder, CAP, ERR_DENIED);
    const char *fifo = scratch_path(&scratch, "fifo");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_refused(fifo, CAP, ERR_DENIED);
}

static void test_size_limit(void **state)
{
    (void)state;
    const char *path = scratch_write(&scratch, "key", "12345678", 0600);
    uint8_t got[CAP];
    size_t len = 0;
    assert_int_equal(file_read_private(path, got, 8, &len, NULL), ERR_OK);
    assert_int_equal(len, 8);
    assert_refused(path, 7, ERR_LIMIT);
    assert_refused(path, 0, ERR_LIMIT);
}

static void test_missing_folder(void **state)
{
    (void)state;
    const char *path = scratch_path(&scratch, "none/key");
    struct err_text why;
    int fd = -1;
    assert_int_equal(file_write_private(path, bytes("x"), 1, false, &why), ERR_NOT_FOUND);
    assert_int_equal(file_lock_folder(&fd, path, &why), ERR_NOT_FOUND);
    assert_int_equal(fd, -1);
}

static void test_failed_write_leaves_the_old_file(void **state)
{
    (void)state;
    const char *path = scratch_write(&scratch, "key", "old", 0600);
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){.rlim_cur = 4, .rlim_max = before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum err e = file_write_private(path, bytes("larger"), 6, false, NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(e, ERR_UNAVAILABLE);
    assert_content(path, "old");
    assert_int_equal(scratch_count(&scratch), 1);
}

static void test_folder_lock_excludes(void **state)
{
    (void)state;
    const char *path = scratch_path(&scratch, "key");
    int fd = -1;
    assert_int_equal(file_lock_folder(&fd, path, NULL), ERR_OK);
    FILE *other = fopen(scratch.folder, "r");
    assert_non_null(other);
    assert_int_equal(flock(fileno(other), LOCK_EX | LOCK_NB), -1);
    assert_int_equal(close(fd), 0);
    assert_int_equal(flock(fileno(other), LOCK_EX | LOCK_NB), 0);
    fclose(other);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_written_file_reads_back),
        CASE(test_path_without_folder),
        CASE(test_create_only_never_replaces),
        CASE(test_open_to_others_is_refused),
        CASE(test_mode_counts_behind_a_link),
        CASE(test_what_is_no_file_is_refused),
        CASE(test_size_limit),
        CASE(test_missing_folder),
        CASE(test_failed_write_leaves_the_old_file),
        CASE(test_folder_lock_excludes),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
