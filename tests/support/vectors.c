/* SPDX-License-Identifier: ISC */
#include "support/vectors.h"

#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t vectors_each(const char *path, size_t n, void (*run)(void *ctx, char *const *words),
                    void *ctx)
{
    FILE *f = fopen(path, "r");
    if (f == NULL) {
        perror(path);
        abort();
    }
    char *line = NULL;
    size_t room = 0, cases = 0;
    while (getline(&line, &room, f) >= 0) {
        if (line[0] == '#')
            continue;
        char *words[VECTORS_WORDS_MAX + 1] = {0}, *rest = NULL;
        size_t found = 0;
        for (char *at = line; found <= VECTORS_WORDS_MAX; at = NULL, found++)
            if ((words[found] = strtok_r(at, " \n", &rest)) == NULL)
                break;
        if (found != n)
            abort();
        run(ctx, words);
        cases++;
    }
    free(line);
    fclose(f);
    return cases;
}

void vectors_bytes(struct vector_bytes *out, const char *word)
{
    out->len = strcmp(word, "-") == 0 ? 0 : strlen(word) / 2;
    if (out->len > sizeof out->bytes)
        abort();
    if (out->len > 0 && !str_hex_decode(out->bytes, out->len, str_from(word)))
        abort();
}
