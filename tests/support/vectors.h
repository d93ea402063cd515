/* SPDX-License-Identifier: ISC */
#ifndef SUPPORT_VECTORS_H
#define SUPPORT_VECTORS_H

/* Reads the files of tests/vectors: a case a line, words between spaces, '#' lines
 * are comments. Aborts when a file is not so. Thread: any. */

#include <stddef.h>
#include <stdint.h>

#define VECTORS_WORDS_MAX 8
#define VECTORS_BYTES_MAX 1024

/* Calls run(ctx, words) for every case, which must have n words; returns how many. */
size_t vectors_each(const char *path, size_t n, void (*run)(void *ctx, char *const *words),
                    void *ctx);

struct vector_bytes {
    size_t len;
    uint8_t bytes[VECTORS_BYTES_MAX];
};

/* Hexadecimal digits; "-" is empty. */
void vectors_bytes(struct vector_bytes *out, const char *word);

#endif
