/* SPDX-License-Identifier: ISC */
#ifndef CRYPTO_SECRET_H
#define CRYPTO_SECRET_H

/* Bytes that must not leak: key-encryption keys, data keys, TOTP secrets, caller
 * secrets on their way to a hash. They live in locked memory with guard pages
 * (sodium_malloc), are wiped when freed, and are in no core dump. Nothing but this
 * type carries a secret, and nothing that logs or formats accepts it.
 * Thread: any, one at a time. */

#include "base/err.h"
#include "base/str.h"

#define SECRET_MAX 128

struct secret {
    size_t len;
    uint8_t bytes[SECRET_MAX];
};
/* Invariant: made by secret_new, never on a stack or inside another struct. */

/* Once, before anything else in crypto: prepares libsodium. Thread: startup. */
MUST_CHECK enum err secret_init(struct err_text *why);

/* No core dumps and no other process reading this one's memory: RLIMIT_CORE 0 and
 * PR_SET_DUMPABLE 0. Thread: startup. */
MUST_CHECK enum err secret_protect_process(struct err_text *why);

/* An empty secret. */
struct secret *secret_new(void);

/* Wipes and frees. Fine with NULL. */
void secret_free(struct secret *s);

/* Copies n bytes in (n <= SECRET_MAX, else aborts); the caller wipes its own. */
void secret_set(struct secret *s, const uint8_t *bytes, size_t n);

/* n fresh random bytes from the system's generator. */
void secret_random(struct secret *s, size_t n);

/* Equal, in a time that depends on n alone. */
bool secret_equal(const void *a, const void *b, size_t n);

/* Clears n bytes, also where the compiler thinks nobody looks. */
void secret_wipe(void *bytes, size_t n);

#endif
