/* SPDX-License-Identifier: ISC */
#include "catalog_internal.h"

#include "base/mem.h"
#include "mail/message.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX_BYTES (64 * 1024)
#define NAME_MAX_BYTES 32
#define PLACE_MAX      120 /* of a path in an error */
#define BODY_LINE      3   /* where the body of a text begins */

static const struct kind {
    const char *name;
    unsigned allowed, required; /* in the text's body and the HTML */
} kinds[] = {
    [MAIL_RESET] = {"reset",
                    SLOT_BIT(SLOT_ISSUER) | SLOT_BIT(SLOT_LINK) | SLOT_BIT(SLOT_EXPIRES) |
                        SLOT_BIT(SLOT_DATE),
                    SLOT_BIT(SLOT_LINK)},
    [MAIL_ENROLLED] = {"enrolled", SLOT_BIT(SLOT_ISSUER) | SLOT_BIT(SLOT_DATE), 0},
    [MAIL_REPLACED] = {"replaced", SLOT_BIT(SLOT_ISSUER) | SLOT_BIT(SLOT_DATE), 0},
};
#define N_KINDS (sizeof kinds / sizeof kinds[0])

struct mail_templates {
    struct template frame;
    struct catalog_entry entries[N_KINDS][N_LANGUAGES];
};

const struct catalog_entry *catalog_entry(const struct mail_templates *t, enum mail_kind kind,
                                          enum language l)
{
    return &t->entries[kind][l];
}

const struct template *catalog_frame(const struct mail_templates *t)
{
    return &t->frame;
}

/* ---- one file -------------------------------------------------------------------------------- */

/* Its parse takes the place of what was there. */
static enum err replace(struct template *in, struct str text, const struct template_rules *rules,
                        struct err_text *why)
{
    struct template fresh;
    TRY(template_parse(&fresh, text, rules, why));
    template_release(in);
    *in = fresh;
    return ERR_OK;
}

static enum err take_frame(struct mail_templates *t, const char *place, struct str file,
                           struct err_text *why)
{
    struct template_rules rules = {.name = place,
                                   .first_line = 1,
                                   .allowed = SLOT_BIT(SLOT_BODY) | SLOT_BIT(SLOT_SUBJECT) |
                                              SLOT_BIT(SLOT_LANGUAGE) | SLOT_BIT(SLOT_ISSUER),
                                   .required = SLOT_BIT(SLOT_BODY),
                                   .of_what = "the frame"};
    return replace(&t->frame, file, &rules, why);
}

static enum err take_html(struct catalog_entry *entry, const struct kind *kind, const char *place,
                          struct str file, struct err_text *why)
{
    struct template_rules rules = {.name = place,
                                   .first_line = 1,
                                   .allowed = kind->allowed,
                                   .required = kind->required,
                                   .of_what = "this mail"};
    return replace(&entry->html, file, &rules, why);
}

/* Takes a line off the front of *rest, without its end. */
static struct str take_line(struct str *rest)
{
    const char *end = memchr(rest->p, '\n', rest->len);
    struct str line = {rest->p, end != NULL ? (size_t)(end - rest->p) : rest->len};
    size_t used = end != NULL ? line.len + 1 : line.len;
    *rest = (struct str){rest->p + used, rest->len - used};
    if (line.len > 0 && line.p[line.len - 1] == '\r')
        line.len--;
    return line;
}

static enum err take_text(struct catalog_entry *entry, const struct kind *kind, const char *place,
                          struct str file, struct err_text *why)
{
    static const struct str mark = {"Subject: ", 9};
    struct str subject = take_line(&file);
    if (!str_has_prefix(subject, mark) || subject.len == mark.len)
        return err_set(why, ERR_INVALID, NULL, "%s:1: not \"Subject: \" and a subject", place);
    if (take_line(&file).len > 0)
        return err_set(why, ERR_INVALID, NULL, "%s:2: not an empty line", place);
    subject = (struct str){subject.p + mark.len, subject.len - mark.len};
    struct template_rules head = {.name = place,
                                  .first_line = 1,
                                  .allowed = SLOT_BIT(SLOT_ISSUER) | SLOT_BIT(SLOT_DATE),
                                  .of_what = "the subject"};
    struct template_rules body = {.name = place,
                                  .first_line = BODY_LINE,
                                  .allowed = kind->allowed,
                                  .required = kind->required,
                                  .of_what = "this mail"};
    TRY(replace(&entry->subject, subject, &head, why));
    return replace(&entry->text, file, &body, why);
}

/* The file `name`, which place names for people. */
static enum err take_file(struct mail_templates *t, const char *name, const char *place,
                          struct str file, struct err_text *why)
{
    if (str_has_prefix(file, STR("\xef\xbb\xbf"))) /* some editors' mark of UTF-8 */
        file = (struct str){file.p + 3, file.len - 3};
    if (strcmp(name, "frame.html") == 0)
        return take_frame(t, place, file, why);
    for (size_t k = MAIL_RESET; k < N_KINDS; k++) {
        for (enum language l = 0; l < N_LANGUAGES; l++) {
            char stem[NAME_MAX_BYTES];
            int n = snprintf(stem, sizeof stem, "%s.%s.", kinds[k].name, words_tag(l).p);
            if (strncmp(name, stem, (size_t)n) != 0)
                continue;
            if (strcmp(name + n, "txt") == 0)
                return take_text(&t->entries[k][l], &kinds[k], place, file, why);
            if (strcmp(name + n, "html") == 0)
                return take_html(&t->entries[k][l], &kinds[k], place, file, why);
        }
    }
    return err_set(why, ERR_INVALID, NULL, "%s: no template has this name", place);
}

/* ---- all of them --------------------------------------------------------------------------------
 */

static enum err take_builtins(struct mail_templates *t, struct err_text *why)
{
    for (const struct mail_builtin *b = mail_builtins; b->name != NULL; b++)
        TRY(take_file(t, b->name, b->name, str_from(b->text), why));
    return ERR_OK;
}

static enum err read_file(struct mail_templates *t, const char *folder, const char *name,
                          struct err_text *why)
{
    char path[PATH_MAX];
    int len = snprintf(path, sizeof path, "%s/%s", folder, name);
    if (len < 0 || (size_t)len >= sizeof path)
        return err_set(why, ERR_INVALID, NULL, "the name of a template is too long");
    /* The end of a long path says more than its beginning. */
    const char *place = path + (len > PLACE_MAX ? len - PLACE_MAX : 0);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return err_set(why, ERR_INVALID, NULL, "%s: %s", place, strerror(errno));
    char *bytes = mem_alloc(FILE_MAX_BYTES + 1);
    size_t n = fread(bytes, 1, FILE_MAX_BYTES + 1, f);
    enum err e;
    if (ferror(f))
        e = err_set(why, ERR_INVALID, NULL, "%s: %s", place, strerror(errno));
    else if (n > FILE_MAX_BYTES)
        e = err_set(why, ERR_INVALID, NULL, "%s: longer than 64 KiB", place);
    else
        e = take_file(t, name, place, (struct str){bytes, n}, why);
    free(bytes);
    fclose(f);
    return e;
}

/* A misspelt name would leave the built-in text in use, so it is an error; other files may
 * lie beside them. */
static bool is_template(const char *name)
{
    const char *dot = strrchr(name, '.');
    return name[0] != '.' && dot != NULL && (strcmp(dot, ".txt") == 0 || strcmp(dot, ".html") == 0);
}

static enum err take_folder(struct mail_templates *t, const char *folder, struct err_text *why)
{
    DIR *d = opendir(folder);
    if (d == NULL)
        return err_set(why, ERR_INVALID, NULL, "%s: %s", folder, strerror(errno));
    enum err e = ERR_OK;
    for (struct dirent *entry; e == ERR_OK && (entry = readdir(d)) != NULL;)
        if (is_template(entry->d_name))
            e = read_file(t, folder, entry->d_name, why);
    closedir(d);
    return e;
}

enum err mail_templates_load(struct mail_templates **out, const char *folder, struct err_text *why)
{
    struct mail_templates *t = mem_zalloc(1, sizeof *t);
    enum err e = take_builtins(t, why);
    if (e == ERR_OK && folder != NULL)
        e = take_folder(t, folder, why);
    if (e != ERR_OK) {
        mail_templates_free(t);
        return e;
    }
    *out = t;
    return ERR_OK;
}

void mail_templates_free(struct mail_templates *t)
{
    if (t == NULL)
        return;
    template_release(&t->frame);
    for (size_t k = MAIL_RESET; k < N_KINDS; k++) {
        for (enum language l = 0; l < N_LANGUAGES; l++) {
            template_release(&t->entries[k][l].subject);
            template_release(&t->entries[k][l].text);
            template_release(&t->entries[k][l].html);
        }
    }
    free(t);
}
