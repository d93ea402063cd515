/* SPDX-License-Identifier: ISC */
#ifndef CRYPTO_KEYRING_H
#define CRYPTO_KEYRING_H

/* The keyring: key-encryption keys with ids, one of them active. It seals the data
 * keys of the tenants and nothing else. In a file of mode 0600, one key a line:
 *
 *     # twostep keyring
 *     key 1 <64 hexadecimal digits>
 *     key 2 <64 hexadecimal digits> active
 *
 * Thread: any once loaded (it does not change); the functions that make files: startup. */

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct keyring;
struct secret;

#define KEYRING_MAX_KEYS 64

/* Reads and checks a file: refused (ERR_DENIED) when others can read it, ERR_INVALID
 * with file and line when it is not a keyring with exactly one active key. */
MUST_CHECK enum err keyring_load(struct keyring **out, const char *path, struct err_text *why);

/* Wipes. Fine with NULL. */
void keyring_free(struct keyring *k);

/* The id of the active key. */
uint32_t keyring_active(const struct keyring *k);

/* The key with this id, borrowed; NULL when there is none. */
const struct secret *keyring_key(const struct keyring *k, uint32_t id);

size_t keyring_count(const struct keyring *k);
/* The id of the i-th key in the file's order. */
uint32_t keyring_id_at(const struct keyring *k, size_t i);

/* A new file with one random active key, id 1. ERR_EXISTS when there is one: a
 * keyring is never overwritten, what it sealed would be lost. */
MUST_CHECK enum err keyring_create(const char *path, struct err_text *why);

/* Adds a random key and makes it the active one; *id_out is its id. The keys that
 * were there stay, so that what they sealed still opens; so do comments. ERR_LIMIT
 * when there are KEYRING_MAX_KEYS. Safe against another process that does the same. */
MUST_CHECK enum err keyring_add(const char *path, uint32_t *id_out, struct err_text *why);

#endif
