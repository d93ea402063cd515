/* SPDX-License-Identifier: ISC */
#ifndef MAIL_POSTMAN_INTERNAL_H
#define MAIL_POSTMAN_INTERNAL_H

#include <stdint.h>

/* How long a server that failed so many times in a row (at least once) is left alone: 1 to 2 s,
 * then twice that, and so on up to 30 to 60 s. draw is a random number. */
int64_t postman_rest_ms(uint32_t failures, uint32_t draw);

#endif
