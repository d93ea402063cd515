/* SPDX-License-Identifier: ISC */
#ifndef SUPPORT_SCRATCH_H
#define SUPPORT_SCRATCH_H

/* A folder of its own for a test that makes files. Thread: any, one at a time. */

#include <stddef.h>
#include <sys/types.h>

#define SCRATCH_PATH_MAX 256

struct scratch {
    char folder[SCRATCH_PATH_MAX];
    char path[SCRATCH_PATH_MAX]; /* scratch_path's answer */
};

void scratch_init(struct scratch *s);

/* Removes the folder and what is in it. */
void scratch_release(struct scratch *s);

/* The path of name in the folder, borrowed until the next call. */
const char *scratch_path(struct scratch *s, const char *name);

/* Makes or replaces a file; returns its path as scratch_path does. */
const char *scratch_write(struct scratch *s, const char *name, const char *text, mode_t mode);

/* How many entries the folder has. */
size_t scratch_count(const struct scratch *s);

#endif
