/* SPDX-License-Identifier: ISC */
#ifndef BASE_FILE_H
#define BASE_FILE_H

/* Small files that hold keys or who may call: read whole, written whole, and
 * refused when others can read them. Thread: any. */

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

/* Refuses (ERR_DENIED) a file that is not a regular file, or that group or others
 * can read or write; ERR_NOT_FOUND when there is none. */
MUST_CHECK enum err file_check_private(const char *path, struct err_text *why);

/* The content of a private file into bytes[0..cap); *len_out is its length.
 * ERR_LIMIT when it is larger. The caller wipes bytes. */
MUST_CHECK enum err file_read_private(const char *path, uint8_t *bytes, size_t cap, size_t *len_out,
                                      struct err_text *why);

/* Writes mode 0600 (as root: for the owner of what was there, or of the folder), atomically and
 * durably: a new file beside it, fsync, rename, fsync of the folder. With create_only an existing
 * file is ERR_EXISTS. */
MUST_CHECK enum err file_write_private(const char *path, const uint8_t *bytes, size_t n,
                                       bool create_only, struct err_text *why);

/* Waits until no other process holds the folder of path this way, then holds it:
 * for reading, changing and writing a file as one step. close(*fd_out) lets go. */
MUST_CHECK enum err file_lock_folder(int *fd_out, const char *path, struct err_text *why);

#endif
