/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "crypto/keyring.h"
#include "crypto/seal.h"
#include "crypto/secret.h"
#include "support/scratch.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* 64 digits each. */
#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "BbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBb"

static struct scratch scratch;

static int setup(void **state)
{
    (void)state;
    scratch_init(&scratch);
    return secret_init(NULL) == ERR_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    scratch_release(&scratch);
    return 0;
}

static struct keyring *load(const char *path)
{
    struct keyring *k = NULL;
    struct err_text why = {0};
    enum err e = keyring_load(&k, path, &why);
    if (e != ERR_OK)
        fail_msg("%s", why.text);
    return k;
}

static struct keyring *load_text(const char *text)
{
    return load(scratch_write(&scratch, "keyring", text, 0600));
}

static void assert_key(const struct keyring *k, uint32_t id, uint8_t byte)
{
    const struct secret *key = keyring_key(k, id);
    assert_non_null(key);
    assert_int_equal(key->len, SEAL_KEY_LEN);
    for (size_t i = 0; i < SEAL_KEY_LEN; i++)
        assert_int_equal(key->bytes[i], byte);
}

static void test_reads_keys_in_order(void **state)
{
    (void)state;
    struct keyring *k = load_text("# twostep keyring\n\nkey 4294967295 " A "\n"
                                  "  # indented\n \t \n\tkey\t7  " B "   active \nkey 1 " A);
    assert_int_equal(keyring_count(k), 3);
    assert_int_equal(keyring_id_at(k, 0), 4294967295);
    assert_int_equal(keyring_id_at(k, 1), 7);
    assert_int_equal(keyring_id_at(k, 2), 1);
    assert_int_equal(keyring_active(k), 7);
    assert_key(k, 4294967295, 0xaa);
    assert_key(k, 7, 0xbb);
    assert_key(k, 1, 0xaa);
    assert_null(keyring_key(k, 0));
    assert_null(keyring_key(k, 2));
    keyring_free(k);
    keyring_free(NULL);
}

/* The words name the file and the line, and never repeat what stands there. */
static void assert_refused(const char *text, size_t line, const char *say)
{
    struct keyring *k = NULL;
    struct err_text why = {0};
    char place[SCRATCH_PATH_MAX + 32];
    const char *path = scratch_write(&scratch, "keyring", text, 0600);
    assert_int_equal(keyring_load(&k, path, &why), ERR_INVALID);
    assert_null(k);
    snprintf(place, sizeof place, "%s:%zu: ", path, line);
    assert_memory_equal(why.text, place, strlen(place));
    if (strstr(why.text, say) == NULL)
        fail_msg("%s: does not say: %s", why.text, say);
    assert_null(strstr(why.text, "aaaa"));
    assert_null(strstr(why.text, "BbBb"));
}

static void test_refuses_what_is_no_keyring(void **state)
{
    (void)state;
    assert_refused("", 1, "no key is active");
    assert_refused("# only words\n", 2, "no key is active");
    assert_refused("key 1 " A "\n", 2, "no key is active");
    assert_refused("key 1 " A " active\nkey 2 " A " active\n", 2, "second active");
    assert_refused("key 1 " A "\nkey 1 " B " active\n", 2, "second key with this id");
    assert_refused("key 1 " A " active\n\nkey 1 " A "\n", 3, "second key with this id");
    assert_refused("Key 1 " A " active\n", 1, "expected");
    assert_refused("key 1 active\n", 1, "hexadecimal");
    assert_refused("key 1\n", 1, "expected");
    assert_refused(A "\n", 1, "expected");
    assert_refused("key 1 " A " active now\n", 1, "expected");
    assert_refused("key 1 " A " active # old\n", 1, "expected");
    assert_refused("key 1 " A " Active\n", 1, "can only be");
    assert_refused("key 1 " A " " B "\n", 1, "can only be");
    assert_refused("key 1 " A " active\r\n", 1, "can only be");
}

static void test_refuses_wrong_ids_and_digits(void **state)
{
    (void)state;
    static const char *const ids[] = {"0",  "01",         "-1",  "+1",
                                      "1x", "4294967296", "0x1", "18446744073709551617"};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        char text[128];
        snprintf(text, sizeof text, "key %s " A " active\n", ids[i]);
        assert_refused(text, 1, "not a number");
    }
    assert_refused("key 1 " A "a active\n", 1, "64 hexadecimal digits");
    assert_refused("key 1 " A "aa active\n", 1, "64 hexadecimal digits");
    assert_refused("key 1 aaaa active\n", 1, "64 hexadecimal digits");
    assert_refused(
        "key 1 gaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa active\n", 1,
        "64 hexadecimal digits");
}

static void test_refuses_nul(void **state)
{
    (void)state;
    const char *path = scratch_path(&scratch, "keyring");
    static const char text[] = "key 1 " A " active\0\n";
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, sizeof text - 1, f), sizeof text - 1);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, 0600), 0);
    struct keyring *k = NULL;
    assert_int_equal(keyring_load(&k, path, NULL), ERR_INVALID);
}

static void write_keys(struct buf *text, uint32_t n)
{
    for (uint32_t id = 1; id <= n; id++)
        buf_printf(text, "key %u " A "%s\n", id, id == 1 ? " active" : "");
    buf_append_byte(text, '\0');
}

static void test_most_keys(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    struct err_text why = {0};
    uint32_t id = 4711;
    write_keys(&text, KEYRING_MAX_KEYS);
    struct keyring *k = load_text((const char *)text.data);
    assert_int_equal(keyring_count(k), KEYRING_MAX_KEYS);
    keyring_free(k);
    assert_int_equal(keyring_add(scratch_path(&scratch, "keyring"), &id, &why), ERR_LIMIT);
    assert_int_equal(id, 4711);
    buf_clear(&text);
    write_keys(&text, KEYRING_MAX_KEYS + 1);
    assert_refused((const char *)text.data, KEYRING_MAX_KEYS + 1, "too many keys");
    buf_release(&text);
}

static void test_refuses_large_file(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    struct keyring *k = NULL;
    for (int i = 0; i < 20000; i++)
        buf_append_byte(&text, '#');
    buf_append_byte(&text, '\0');
    const char *path = scratch_write(&scratch, "keyring", (const char *)text.data, 0600);
    assert_int_equal(keyring_load(&k, path, NULL), ERR_LIMIT);
    buf_release(&text);
}

static void test_refuses_what_others_can_read(void **state)
{
    (void)state;
    static const mode_t modes[] = {0644, 0640, 0604, 0660};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        struct keyring *k = NULL;
        struct err_text why = {0};
        uint32_t id = 0;
        const char *path = scratch_write(&scratch, "keyring", "key 1 " A " active\n", modes[i]);
        assert_int_equal(keyring_load(&k, path, &why), ERR_DENIED);
        assert_non_null(strstr(why.text, path));
        assert_int_equal(keyring_add(path, &id, &why), ERR_DENIED);
        assert_null(k);
    }
    struct keyring *k = NULL;
    assert_int_equal(keyring_load(&k, scratch_path(&scratch, "none"), NULL), ERR_NOT_FOUND);
    assert_int_equal(keyring_load(&k, scratch.folder, NULL), ERR_DENIED);
}

static void test_create(void **state)
{
    (void)state;
    const char *path = scratch_path(&scratch, "new");
    struct err_text why = {0};
    assert_int_equal(keyring_create(path, &why), ERR_OK);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    struct keyring *k = load(path);
    assert_int_equal(keyring_count(k), 1);
    assert_int_equal(keyring_active(k), 1);

    assert_int_equal(keyring_create(path, &why), ERR_EXISTS);
    struct keyring *again = load(path);
    assert_memory_equal(keyring_key(again, 1)->bytes, keyring_key(k, 1)->bytes, SEAL_KEY_LEN);
    keyring_free(again);

    assert_int_equal(keyring_create(scratch_path(&scratch, "other"), &why), ERR_OK);
    struct keyring *other = load(scratch_path(&scratch, "other"));
    assert_memory_not_equal(keyring_key(other, 1)->bytes, keyring_key(k, 1)->bytes, SEAL_KEY_LEN);
    keyring_free(other);
    keyring_free(k);
    assert_int_equal(keyring_create(scratch_path(&scratch, "none/new"), &why), ERR_NOT_FOUND);
}

/* The old keys stay, so do the comments; the file may end without a newline. */
static void test_add(void **state)
{
    (void)state;
    const char *path =
        scratch_write(&scratch, "keyring", "# mine\nkey 9 " A "  active \n# note\nkey 3 " B, 0600);
    uint32_t id = 0;
    struct err_text why = {0};
    assert_int_equal(keyring_add(path, &id, &why), ERR_OK);
    assert_int_equal(id, 10);
    struct keyring *k = load(path);
    assert_int_equal(keyring_count(k), 3);
    assert_int_equal(keyring_active(k), 10);
    assert_int_equal(keyring_id_at(k, 2), 10);
    assert_key(k, 9, 0xaa);
    assert_key(k, 3, 0xbb);
    assert_false(secret_equal(keyring_key(k, 10)->bytes, keyring_key(k, 9)->bytes, SEAL_KEY_LEN));
    keyring_free(k);

    char text[512] = {0};
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_true(fread(text, 1, sizeof text - 1, f) > 0);
    fclose(f);
    static const char start[] = "# mine\nkey 9 " A " \n# note\nkey 3 " B "\nkey 10 ";
    assert_memory_equal(text, start, sizeof start - 1);

    assert_int_equal(keyring_add(path, &id, &why), ERR_OK);
    assert_int_equal(id, 11);
    k = load(path);
    assert_int_equal(keyring_active(k), 11);
    assert_int_equal(keyring_count(k), 4);
    keyring_free(k);
    assert_int_equal(scratch_count(&scratch), 1);
}

static void test_add_refused(void **state)
{
    (void)state;
    uint32_t id = 4711;
    struct err_text why = {0};
    const char *path = scratch_write(&scratch, "keyring", "key 4294967295 " A " active\n", 0600);
    assert_int_equal(keyring_add(path, &id, &why), ERR_LIMIT);
    path = scratch_write(&scratch, "keyring", "key 1 " A "\n", 0600);
    assert_int_equal(keyring_add(path, &id, &why), ERR_INVALID);
    assert_int_equal(keyring_add(scratch_path(&scratch, "none"), &id, &why), ERR_NOT_FOUND);
    assert_int_equal(keyring_add(scratch_path(&scratch, "no/where"), &id, &why), ERR_NOT_FOUND);
    assert_int_equal(id, 4711);
}

static void test_no_room_for_a_line(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    uint32_t id = 4711;
    buf_printf(&text, "key 1 " A " active\n");
    while (text.len < 16384)
        buf_append_byte(&text, '#');
    buf_append_byte(&text, '\0');
    const char *path = scratch_write(&scratch, "keyring", (const char *)text.data, 0600);
    keyring_free(load(path));
    assert_int_equal(keyring_add(path, &id, NULL), ERR_LIMIT);
    buf_release(&text);
    keyring_free(load(path));
}

#define N_WRITERS 8
#define N_ADDS    5

/* Writers at the same time lose none of each other's keys. */
static void test_adds_at_the_same_time(void **state)
{
    (void)state;
    const char *path = scratch_path(&scratch, "keyring");
    pid_t writers[N_WRITERS];
    assert_int_equal(keyring_create(path, NULL), ERR_OK);
    for (size_t i = 0; i < N_WRITERS; i++) {
        writers[i] = fork();
        if (writers[i] != 0)
            continue;
        uint32_t id = 0;
        int failed = 0;
        for (size_t n = 0; n < N_ADDS; n++)
            failed |= keyring_add(path, &id, NULL) != ERR_OK;
        _exit(failed);
    }
    for (size_t i = 0; i < N_WRITERS; i++) {
        int status = 0;
        assert_int_equal(waitpid(writers[i], &status, 0), writers[i]);
        assert_int_equal(status, 0);
    }
    struct keyring *k = load(path);
    assert_int_equal(keyring_count(k), 1 + N_WRITERS * N_ADDS);
    assert_int_equal(keyring_active(k), 1 + N_WRITERS * N_ADDS);
    keyring_free(k);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_reads_keys_in_order),
        CASE(test_refuses_what_is_no_keyring),
        CASE(test_refuses_wrong_ids_and_digits),
        CASE(test_refuses_nul),
        CASE(test_most_keys),
        CASE(test_refuses_large_file),
        CASE(test_refuses_what_others_can_read),
        CASE(test_create),
        CASE(test_add),
        CASE(test_add_refused),
        CASE(test_no_room_for_a_line),
        CASE(test_adds_at_the_same_time),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
