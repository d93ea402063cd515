/* SPDX-License-Identifier: ISC */
#ifndef BASE_MEM_H
#define BASE_MEM_H

/* Heap memory that is always there: when the system has none left, the process
 * aborts. Sizes that come from the network are bounded before they get here (or
 * taken from an arena with a cap), so running out means that the machine is too
 * small, and a clean restart is the safest answer. Free with free().
 * Thread: any. */

#include <stddef.h>

/* n bytes, not cleared. */
void *mem_alloc(size_t n) __attribute__((malloc, returns_nonnull));

/* n * size zero bytes; aborts when the product overflows. */
void *mem_zalloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));

/* As realloc. */
void *mem_realloc(void *p, size_t n) __attribute__((returns_nonnull));

/* A copy of the string s. */
char *mem_strdup(const char *s) __attribute__((malloc, returns_nonnull));

#endif
