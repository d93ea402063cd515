/* SPDX-License-Identifier: ISC */
#ifndef STORE_STORE_SQLITE_H
#define STORE_STORE_SQLITE_H

/* The embedded store: one SQLite file, one connection that reads and writes, one
 * process. WAL with synchronous=FULL: a batch that was committed survives a power cut.
 * The file and the -wal beside it are mode 0600.
 * Thread: the worker that uses it (open may be called before that thread starts). */

#include "base/err.h"

struct store;

/* Opens, makes or upgrades the database at path. ERR_DENIED: others can read it, or the
 * file system is read-only; ERR_EXISTS: another process has it open; ERR_CONFLICT: a
 * newer version of this program made it; ERR_CORRUPT: not a database of ours, or damaged;
 * ERR_UNAVAILABLE: anything else. *why names the path. */
MUST_CHECK enum err store_sqlite_open(struct store **out, const char *path, struct err_text *why);

#endif
