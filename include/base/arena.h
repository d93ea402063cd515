/* SPDX-License-Identifier: ISC */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

/* Memory for one request: taken piece by piece, given back at once, with a cap.
 * Input that expands (protobuf does, up to fifty times) cannot take more than the
 * cap. Everything is wiped when the arena is released, because requests carry
 * codes. Thread: any, one at a time. */

#include <stddef.h>

struct arena;

/* An arena that hands out at most cap bytes in all. */
struct arena *arena_new(size_t cap);

/* Wipes and frees everything that came from it. */
void arena_free(struct arena *a);

/* n bytes, aligned for any type, not cleared; NULL when the cap is reached. */
void *arena_alloc(struct arena *a, size_t n);

#endif
