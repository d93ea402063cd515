/* SPDX-License-Identifier: ISC */
#ifndef CRYPTO_RANDOM_H
#define CRYPTO_RANDOM_H

/* Random bytes from the system's generator, fit for ids, nonces and tokens.
 * Aborts the process when the system has none. Thread: any. */

#include <stddef.h>
#include <stdint.h>

void random_bytes(void *out, size_t n);

#endif
