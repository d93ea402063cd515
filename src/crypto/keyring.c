/* SPDX-License-Identifier: ISC */
#include "crypto/keyring.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "crypto/seal.h"
#include "crypto/secret.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Room for every key and as much in comments again. */
#define FILE_MAX 16384
/* "\nkey 4294967295 " + digits + " active\n" and the terminator. */
#define KEY_LINE_MAX (16 + 2 * SEAL_KEY_LEN + 8 + 1)
#define WORDS_MAX    4
#define FIRST_ID     1
#define NO_KEY       SIZE_MAX

struct keyring {
    size_t n;
    size_t active; /* index; NO_KEY only while the file is read */
    struct {
        uint32_t id;
        struct secret *key;
    } keys[KEYRING_MAX_KEYS];
};

/* A file in locked memory, with what a change to it needs to know. */
struct text {
    const char *path;
    char *bytes; /* FILE_MAX of them */
    size_t len;
    struct str active_word; /* with the blanks before it */
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The line's words; more than WORDS_MAX count, but are not kept. */
static size_t split(struct str line, struct str words[static WORDS_MAX])
{
    size_t n = 0, i = 0;
    while (i < line.len) {
        size_t start = i;
        while (i < line.len && is_blank(line.p[i]) == is_blank(line.p[start]))
            i++;
        if (is_blank(line.p[start]))
            continue;
        if (n < WORDS_MAX)
            words[n] = (struct str){.p = line.p + start, .len = i - start};
        n++;
    }
    return n;
}

/* What is wrong with the words of a key's line; NULL when nothing is. */
static const char *check_words(const struct keyring *k, const struct str *words, size_t n,
                               uint64_t *id_out)
{
    if (n < 3 || n > WORDS_MAX || !str_equal(words[0], STR("key")))
        return "expected: key ID HEXDIGITS [active]";
    if (!str_to_u64(words[1], UINT32_MAX, id_out) || *id_out < FIRST_ID)
        return "the id is not a number from 1 to 4294967295";
    if (keyring_key(k, (uint32_t)*id_out) != NULL)
        return "a second key with this id";
    if (n == WORDS_MAX && !str_equal(words[3], STR("active")))
        return "the last word can only be: active";
    if (n == WORDS_MAX && k->active != NO_KEY)
        return "a second active key";
    if (k->n == KEYRING_MAX_KEYS)
        return "too many keys";
    return NULL;
}

static void add_key(struct keyring *k, uint32_t id, const uint8_t bytes[static SEAL_KEY_LEN],
                    bool active)
{
    if (active)
        k->active = k->n;
    k->keys[k->n].id = id;
    k->keys[k->n].key = secret_new();
    secret_set(k->keys[k->n].key, bytes, SEAL_KEY_LEN);
    k->n++;
}

/* NULL, or what is wrong. The answer never repeats the line: it may be a key. */
static const char *read_line(struct keyring *k, struct text *t, struct str line)
{
    struct str words[WORDS_MAX] = {0};
    size_t n = split(line, words);
    if (n == 0 || words[0].p[0] == '#')
        return NULL;
    uint64_t id = 0;
    const char *wrong = check_words(k, words, n, &id);
    if (wrong != NULL)
        return wrong;
    uint8_t bytes[SEAL_KEY_LEN];
    bool is_hex = str_hex_decode(bytes, sizeof bytes, words[2]);
    if (is_hex)
        add_key(k, (uint32_t)id, bytes, n == WORDS_MAX);
    secret_wipe(bytes, sizeof bytes);
    if (n == WORDS_MAX) {
        const char *start = words[2].p + words[2].len;
        t->active_word =
            (struct str){.p = start, .len = (size_t)(words[3].p - start) + words[3].len};
    }
    return is_hex ? NULL : "the key is not 64 hexadecimal digits";
}

static enum err read_lines(struct keyring *k, struct text *t, struct err_text *why)
{
    size_t number = 1;
    for (size_t at = 0; at < t->len; number++) {
        const char *start = t->bytes + at;
        const char *end = memchr(start, '\n', t->len - at);
        size_t len = end == NULL ? t->len - at : (size_t)(end - start);
        const char *wrong = read_line(k, t, (struct str){.p = start, .len = len});
        if (wrong != NULL)
            return err_set(why, ERR_INVALID, NULL, "%.120s:%zu: %s", t->path, number, wrong);
        at += len + 1;
    }
    if (k->active == NO_KEY)
        return err_set(why, ERR_INVALID, NULL, "%.120s:%zu: no key is active", t->path, number);
    return ERR_OK;
}

static void text_init(struct text *t, const char *path)
{
    *t = (struct text){.path = path, .bytes = sodium_malloc(FILE_MAX)};
    if (t->bytes == NULL)
        abort();
}

/* libsodium wipes. */
static void text_release(struct text *t)
{
    sodium_free(t->bytes);
}

static enum err load(struct keyring **out, struct text *t, struct err_text *why)
{
    TRY(file_read_private(t->path, (uint8_t *)t->bytes, FILE_MAX, &t->len, why));
    struct keyring *k = mem_zalloc(1, sizeof *k);
    k->active = NO_KEY;
    enum err e = read_lines(k, t, why);
    if (e == ERR_OK)
        *out = k;
    else
        keyring_free(k);
    return e;
}

enum err keyring_load(struct keyring **out, const char *path, struct err_text *why)
{
    struct text t;
    text_init(&t, path);
    enum err e = load(out, &t, why);
    text_release(&t);
    return e;
}

void keyring_free(struct keyring *k)
{
    if (k == NULL)
        return;
    for (size_t i = 0; i < k->n; i++)
        secret_free(k->keys[i].key);
    free(k);
}

uint32_t keyring_active(const struct keyring *k)
{
    return k->keys[k->active].id;
}

const struct secret *keyring_key(const struct keyring *k, uint32_t id)
{
    for (size_t i = 0; i < k->n; i++)
        if (k->keys[i].id == id)
            return k->keys[i].key;
    return NULL;
}

size_t keyring_count(const struct keyring *k)
{
    return k->n;
}

uint32_t keyring_id_at(const struct keyring *k, size_t i)
{
    return k->keys[i].id;
}

/* Puts a line with a fresh active key at the text's end. */
static void append_key(struct text *t, uint32_t id)
{
    struct secret *key = secret_new();
    secret_random(key, SEAL_KEY_LEN);
    int n = snprintf(t->bytes + t->len, FILE_MAX - t->len, "key %u ", id);
    t->len += (size_t)n;
    str_hex_encode(t->bytes + t->len, key->bytes, key->len);
    t->len += 2 * SEAL_KEY_LEN;
    n = snprintf(t->bytes + t->len, FILE_MAX - t->len, " active\n");
    t->len += (size_t)n;
    secret_free(key);
}

enum err keyring_create(const char *path, struct err_text *why)
{
    struct text t;
    text_init(&t, path);
    t.len = (size_t)snprintf(t.bytes, FILE_MAX, "# twostep keyring\n");
    append_key(&t, FIRST_ID);
    enum err e = file_write_private(path, (const uint8_t *)t.bytes, t.len, true, why);
    text_release(&t);
    return e;
}

static uint32_t highest_id(const struct keyring *k)
{
    uint32_t highest = 0;
    for (size_t i = 0; i < k->n; i++)
        if (k->keys[i].id > highest)
            highest = k->keys[i].id;
    return highest;
}

/* Takes the word "active" out and ends the last line, if it was not. */
static void retire_active(struct text *t)
{
    size_t at = (size_t)(t->active_word.p - t->bytes), n = t->active_word.len;
    memmove(t->bytes + at, t->bytes + at + n, t->len - at - n);
    t->len -= n;
    if (t->bytes[t->len - 1] != '\n')
        t->bytes[t->len++] = '\n';
}

static enum err check_room(const struct keyring *k, const struct text *t, struct err_text *why)
{
    if (k->n == KEYRING_MAX_KEYS)
        return err_set(why, ERR_LIMIT, NULL, "%.120s: holds %d keys already", t->path,
                       KEYRING_MAX_KEYS);
    if (highest_id(k) == UINT32_MAX)
        return err_set(why, ERR_LIMIT, NULL, "%.120s: the highest id is used up", t->path);
    if (t->len > FILE_MAX - KEY_LINE_MAX)
        return err_set(why, ERR_LIMIT, NULL, "%.120s: no room for one more line", t->path);
    return ERR_OK;
}

/* Thread: startup, with the folder locked. */
static enum err add(struct text *t, uint32_t *id_out, struct err_text *why)
{
    struct keyring *k = NULL;
    TRY(load(&k, t, why));
    enum err e = check_room(k, t, why);
    uint32_t id = highest_id(k) + 1;
    keyring_free(k);
    if (e != ERR_OK)
        return e;
    retire_active(t);
    append_key(t, id);
    TRY(file_write_private(t->path, (const uint8_t *)t->bytes, t->len, false, why));
    *id_out = id;
    return ERR_OK;
}

enum err keyring_add(const char *path, uint32_t *id_out, struct err_text *why)
{
    /* Two at once would each write a file without the other's key. */
    int lock = -1;
    TRY(file_lock_folder(&lock, path, why));
    struct text t;
    text_init(&t, path);
    enum err e = add(&t, id_out, why);
    text_release(&t);
    close(lock);
    return e;
}
