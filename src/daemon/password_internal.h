/* SPDX-License-Identifier: ISC */
#ifndef DAEMON_PASSWORD_INTERNAL_H
#define DAEMON_PASSWORD_INTERNAL_H

/* Passwords that are in files of their own. Thread: startup. */

#include "base/err.h"

struct secret;

/* The file without its line ends, terminated; empty (len 0) when path is. ERR_DENIED: others can
 * read it. The caller frees *out, also after a failure. */
MUST_CHECK enum err password_read(struct secret **out, const char *path, struct err_text *why);

/* As libraries want it; NULL: there is none. */
const char *password_text(const struct secret *password);

#endif
