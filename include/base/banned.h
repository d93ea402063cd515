/* SPDX-License-Identifier: ISC */
#ifndef BASE_BANNED_H
#define BASE_BANNED_H

/* Functions that have a safer way beside them. The compiler flags include this
 * header into every file of ours, after the system's headers are known, so that
 * using one of these names does not compile. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* Unbounded: use snprintf or buf_printf. */
#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf gets
/* No error report: use strtoll with its end pointer. */
#pragma GCC poison atoi atol atoll atof
/* Not random: use random_bytes. */
#pragma GCC poison srand srandom drand48
/* Headers of libraries have parameters and members of these two names, so only a
 * call is an error. */
int rand(void) __attribute__((error("not random: use random_bytes")));
long random(void) __attribute__((error("not random: use random_bytes")));
/* Hidden state: use strtok_r and gmtime_r. */
#pragma GCC poison strtok gmtime localtime ctime asctime
/* Leaks where secrets differ: use secret_equal for secrets, str_equal for the rest. */
#pragma GCC poison memcmp bcmp

#endif
