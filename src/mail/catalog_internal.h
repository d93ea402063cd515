/* SPDX-License-Identifier: ISC */
#ifndef MAIL_CATALOG_INTERNAL_H
#define MAIL_CATALOG_INTERNAL_H

/* All templates (struct mail_templates), by kind and language.
 *
 * A text is the file <kind>.<language>.txt: a line "Subject: …", an empty line, the body.
 * Beside it <kind>.<language>.html has what stands inside the body of the HTML part, and
 * frame.html what stands around that in all of them. Thread: any. */

#include "store/reset.h"
#include "template_internal.h"
#include "words_internal.h"

struct mail_templates;

/* Those built in: a table that the build makes of the files in templates/, ended by a name
 * that is NULL. */
struct mail_builtin {
    const char *name, *text;
};
extern const struct mail_builtin mail_builtins[];

struct catalog_entry {
    struct template subject, text, html;
};

const struct catalog_entry *catalog_entry(const struct mail_templates *t, enum mail_kind kind,
                                          enum language l);
const struct template *catalog_frame(const struct mail_templates *t);

#endif
