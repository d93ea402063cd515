/* SPDX-License-Identifier: ISC */
#include "crypto/secret.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

enum err secret_init(struct err_text *why)
{
    if (sodium_init() < 0)
        return err_set(why, ERR_INTERNAL, NULL, "libsodium cannot start: no random bytes?");
    return ERR_OK;
}

enum err secret_protect_process(struct err_text *why)
{
    const struct rlimit none = {0};
    if (setrlimit(RLIMIT_CORE, &none) != 0)
        return err_set(why, ERR_INTERNAL, NULL, "cannot forbid core dumps: %s", strerror(errno));
    if (prctl(PR_SET_DUMPABLE, 0L, 0L, 0L, 0L) != 0)
        return err_set(why, ERR_INTERNAL, NULL, "cannot hide this process's memory: %s",
                       strerror(errno));
    return ERR_OK;
}

struct secret *secret_new(void)
{
    /* Where the limit on locked memory is used up, libsodium goes on without the
     * lock: guard pages, wiping and the absence from core dumps remain. */
    struct secret *s = sodium_malloc(sizeof *s);
    if (s == NULL)
        abort();
    sodium_memzero(s, sizeof *s);
    return s;
}

void secret_free(struct secret *s)
{
    sodium_free(s);
}

void secret_set(struct secret *s, const uint8_t *bytes, size_t n)
{
    if (n > SECRET_MAX)
        abort();
    if (n > 0)
        memmove(s->bytes, bytes, n);
    sodium_memzero(s->bytes + n, SECRET_MAX - n);
    s->len = n;
}

void secret_random(struct secret *s, size_t n)
{
    if (n > SECRET_MAX)
        abort();
    randombytes_buf(s->bytes, n);
    sodium_memzero(s->bytes + n, SECRET_MAX - n);
    s->len = n;
}

bool secret_equal(const void *a, const void *b, size_t n)
{
    return sodium_memcmp(a, b, n) == 0;
}

void secret_wipe(void *bytes, size_t n)
{
    if (n > 0)
        sodium_memzero(bytes, n);
}
