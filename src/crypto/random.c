/* SPDX-License-Identifier: ISC */
#include "crypto/random.h"

#include <sodium.h>

void random_bytes(void *out, size_t n)
{
    randombytes_buf(out, n);
}
