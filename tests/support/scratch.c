/* SPDX-License-Identifier: ISC */
#include "support/scratch.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define RANDOM_LEN 6

static void must(int ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    abort();
}

void scratch_init(struct scratch *s)
{
    const char *base = getenv("TMPDIR");
    int n = snprintf(s->folder, sizeof s->folder, "%s/twostep-test-", base != NULL ? base : "/tmp");
    must(n > 0 && (size_t)n + RANDOM_LEN < sizeof s->folder, "path too long");
    memset(s->folder + n, 'X', RANDOM_LEN); /* mkdtemp's place for it */
    s->folder[n + RANDOM_LEN] = '\0';
    must(mkdtemp(s->folder) != NULL, "mkdtemp");
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

void scratch_release(struct scratch *s)
{
    must(nftw(s->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0, s->folder);
}

const char *scratch_path(struct scratch *s, const char *name)
{
    int n = snprintf(s->path, sizeof s->path, "%s/%s", s->folder, name);
    must(n > 0 && (size_t)n < sizeof s->path, "path too long");
    return s->path;
}

const char *scratch_write(struct scratch *s, const char *name, const char *text, mode_t mode)
{
    const char *path = scratch_path(s, name);
    FILE *f = fopen(path, "w");
    must(f != NULL, path);
    must(fwrite(text, 1, strlen(text), f) == strlen(text), path);
    must(fclose(f) == 0 && chmod(path, mode) == 0, path);
    return path;
}

size_t scratch_count(const struct scratch *s)
{
    DIR *d = opendir(s->folder);
    must(d != NULL, s->folder);
    size_t n = 0;
    for (const struct dirent *entry; (entry = readdir(d)) != NULL;)
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(d);
    return n;
}
