/* SPDX-License-Identifier: ISC */
#ifndef DAEMON_HARDEN_INTERNAL_H
#define DAEMON_HARDEN_INTERNAL_H

/* Takes from the process what it will not need, so that whoever gets hold of it gets little. What
 * the kernel lacks is left out and said. Thread: main. */

#include "base/err.h"

struct settings;

/* Sanitizers look at files and make system calls of their own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HARDEN_SANITIZED 1
#else
#define HARDEN_SANITIZED 0
#endif
#define HARDEN_SANITIZED_TEXT "not in a build with sanitizers"

/* "on", or why it is not. */
struct hardened {
    const char *landlock;
    const char *seccomp;
};

/* Before the first thread: no new privileges; and with Landlock files only in the folders that the
 * settings name, and, to read, in those where the system has its own; nothing is executed.
 * config_file may be NULL. */
MUST_CHECK enum err harden_files(const char *config_file, const struct settings *set,
                                 struct hardened *out, struct err_text *why);

/* No capabilities for this thread and those that it starts. */
MUST_CHECK enum err harden_drop_capabilities(struct err_text *why);

/* A thread that keeps the capabilities which its maker has now, for one thing later: binding a port
 * that needs one, say. */
struct harden_helper;
MUST_CHECK enum err harden_helper_start(struct harden_helper **out, struct err_text *why);
/* Runs run(ctx) there (NULL: nothing) and ends it. Fine with NULL: then nothing is run. */
void harden_helper_end(struct harden_helper *h, void (*run)(void *ctx), void *ctx);

/* From now on, in all threads, only the system calls that serving takes; the others fail with
 * EPERM. What is to listen does so already. */
MUST_CHECK enum err harden_calls(struct hardened *out, struct err_text *why);

#endif
