/* SPDX-License-Identifier: ISC */
#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H

/* Reads configuration files (libconfuse's format) and the environment.
 *
 * A program describes its keys in a table; a key `drain_seconds` is also the
 * environment variable <prefix>DRAIN_SECONDS, which wins over the file. Errors
 * name file, line and key. Thread: startup (the parser has global state). */

#include "base/err.h"
#include "base/str.h"

enum config_kind { CONFIG_STR, CONFIG_INT, CONFIG_BOOL };

struct config_key {
    const char *name;
    enum config_kind kind;
    size_t offset;            /* of the member in the program's struct: char *, int64_t or bool */
    const char *default_text; /* as it would stand in the environment; NULL: an empty string */
    int64_t min, max;         /* CONFIG_INT */
};

struct config_schema {
    const char *env_prefix; /* "TWOSTEP_" */
    const struct config_key *keys;
    size_t n_keys;
};

/* Fills *settings, which is zero bytes: defaults, then file (NULL: none), then the environment.
 * Strings are the struct's own (config_release). On failure nothing is kept. */
MUST_CHECK enum err config_load(const struct config_schema *schema, const char *file,
                                void *settings, struct err_text *why);
void config_release(const struct config_schema *schema, void *settings);

/* A file of titled sections of one kind, such as `caller "crm-web" { … }`. Each key
 * is a string or a list of strings. visit is called once a section, in order;
 * its values are borrowed for the call. */
struct config_section {
    struct str title;
    const struct config_value {
        const char *const *values;
        size_t n; /* 0: not given */
    } * values;
};

struct config_section_schema {
    const char *section;
    const char *const *keys; /* NULL-terminated; a name that ends in "[]" is a list */
    /* Return other than ERR_OK to stop; fill *why without the place: it is added. */
    enum err (*visit)(void *ctx, const struct config_section *s, struct err_text *why);
    void *ctx;
};

MUST_CHECK enum err config_read_sections(const struct config_section_schema *schema,
                                         const char *file, struct err_text *why);

#endif
