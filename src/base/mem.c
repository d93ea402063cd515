/* SPDX-License-Identifier: ISC */
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static void *or_abort(void *p)
{
    if (p == NULL)
        abort();
    return p;
}

void *mem_alloc(size_t n)
{
    return or_abort(malloc(n > 0 ? n : 1));
}

void *mem_zalloc(size_t n, size_t size)
{
    return or_abort(calloc(n > 0 ? n : 1, size > 0 ? size : 1));
}

void *mem_realloc(void *p, size_t n)
{
    return or_abort(realloc(p, n > 0 ? n : 1));
}

char *mem_strdup(const char *s)
{
    return or_abort(strdup(s));
}
