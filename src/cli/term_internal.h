/* SPDX-License-Identifier: ISC */
#ifndef CLI_TERM_INTERNAL_H
#define CLI_TERM_INTERNAL_H

/* What people read. Answers go to standard output, whose buffer is wiped at the end,
 * because secrets pass through it; what went wrong goes to standard error. Text from
 * elsewhere is printed so that it cannot steer a terminal. One thread. */

#include "base/err.h"

#include <stdbool.h>
#include <stdio.h>

/* Once, before anything is printed. */
void term_init(void);

/* Writes out what is left and wipes. False when standard output did not take it all. */
MUST_CHECK bool term_finish(void);

/* text; where it has control characters or is not UTF-8, bytes that are not printable
 * ASCII become "\x1b". */
void term_text(FILE *to, const char *text);

/* A line of an answer: a label in its column, then the formatted text (as term_text). */
void term_field(const char *label, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* A QR code as lines of text for a dark terminal: on a terminal with the colours set, so
 * that it is right on a light one, too. */
void term_qr(const char *lines);

/* "twostepctl: …" on standard error; the text is formatted (as term_text). */
void term_problem(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* A further line below a problem, indented. */
void term_detail(const char *fmt, ...) PRINTF_LIKE(1, 2);

#endif
