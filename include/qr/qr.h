/* SPDX-License-Identifier: ISC */
#ifndef QR_QR_H
#define QR_QR_H

/* QR symbols (level M, quiet zone of 4 modules) as PNG, SVG and terminal text.
 * A symbol carries a secret: it is wiped before its memory goes back, and the
 * caller wipes what is drawn (qr_image_release). Thread: any. */

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum qr_format { QR_PNG, QR_SVG, QR_TEXT };

struct qr_image {
    uint8_t *bytes; /* SVG and text are UTF-8, with a NUL after them that len does not count */
    size_t len;
};

/* Draws text (1 to 1,024 bytes, else ERR_INVALID). PNG: 8 pixels a module, one bit deep. SVG: one
 * path, scales, no script, no reference to elsewhere. Text: two modules a character cell with half
 * blocks, light modules drawn, for a dark terminal; lines end in '\n'. */
MUST_CHECK enum err qr_draw(struct qr_image *out, const char *text, enum qr_format format,
                            struct err_text *why);

/* Wipes and frees. Fine when empty. */
void qr_image_release(struct qr_image *img);

#endif
