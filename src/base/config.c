/* SPDX-License-Identifier: ISC */
#include "base/config.h"

#include "base/buf.h"
#include "base/mem.h"

#include <confuse.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* libconfuse calls back without a context, so the parse under way is here: that is
 * why this module is for the startup thread only. */
static struct parse {
    const char *file;
    struct err_text *why;
    bool failed;
    const struct config_schema *schema; /* config_load */
    void *settings;
    bool *seen;                                   /* by key */
    const struct config_section_schema *sections; /* config_read_sections */
} parse;

static void fail_at(cfg_t *cfg, const char *text)
{
    if (parse.failed)
        return;
    parse.failed = true;
    err_set(parse.why, ERR_INVALID, NULL, "%s:%d: %s", parse.file, cfg->line, text);
}

static void on_parse_error(cfg_t *cfg, const char *fmt, va_list args) PRINTF_LIKE(2, 0);
static void on_parse_error(cfg_t *cfg, const char *fmt, va_list args)
{
    char text[160];
    vsnprintf(text, sizeof text, fmt, args);
    fail_at(cfg, text);
}

/* ---- the text, without its comments ------------------------------------------------ */

/* A file of settings is a page or two. */
#define CONFIG_FILE_MAX (1024 * 1024)

static enum err read_text(const char *file, struct buf *out, struct err_text *why)
{
    FILE *f = fopen(file, "re");
    if (f == NULL)
        return err_set(why, errno == ENOENT ? ERR_NOT_FOUND : ERR_DENIED, NULL, "%s: %s", file,
                       strerror(errno));
    size_t n = 1;
    while (n > 0 && out->len <= CONFIG_FILE_MAX) {
        n = fread(buf_reserve(out, BUFSIZ), 1, BUFSIZ, f);
        out->len += n;
    }
    bool failed = ferror(f) != 0;
    fclose(f);
    if (failed)
        return err_set(why, ERR_DENIED, NULL, "%s: cannot be read", file);
    if (out->len > CONFIG_FILE_MAX || memchr(buf_str(out).p, '\0', out->len) != NULL)
        return err_set(why, ERR_INVALID, NULL, "%s: too long for settings, or not text", file);
    buf_append_byte(out, '\0');
    return ERR_OK;
}

static size_t comment_length(const char *s)
{
    if (s[0] == '#' || (s[0] == '/' && s[1] == '/'))
        return strcspn(s, "\n");
    if (s[0] != '/' || s[1] != '*')
        return 0;
    const char *end = strstr(s + 2, "*/");
    return end != NULL ? (size_t)(end - s) + 2 : strlen(s);
}

static size_t string_length(const char *s)
{
    size_t i = 1;
    while (s[i] != '\0' && s[i] != s[0])
        i += s[i] == '\\' && s[i + 1] != '\0' ? 2 : 1;
    return s[i] != '\0' ? i + 1 : i;
}

/* libconfuse 3.3 counts the lines of comments more than once, so that the places of errors
 * behind them are wrong: it gets blanks for comments. */
static enum err blank_comments(char *s, const char *file, struct err_text *why)
{
    while (*s != '\0') {
        size_t n = comment_length(s);
        if (n > 0 && s[1] == '*' && s[n] == '\0' && (n < 4 || s[n - 1] != '/'))
            return err_set(why, ERR_INVALID, NULL, "%s: a comment has no end", file);
        for (size_t i = 0; i < n; i++)
            if (s[i] != '\n')
                s[i] = ' ';
        if (n == 0 && (*s == '"' || *s == '\''))
            n = string_length(s);
        s += n > 0 ? n : 1;
    }
    return ERR_OK;
}

/* Runs the parser over file with opts; the callbacks have done the work when it returns. */
static enum err parse_file(cfg_opt_t *opts, const char *file, const char *validated,
                           cfg_validate_callback_t validate)
{
    struct buf text = BUF_INIT;
    enum err e = read_text(file, &text, parse.why);
    if (e == ERR_OK)
        e = blank_comments((char *)text.data, file, parse.why);
    if (e != ERR_OK) {
        buf_release(&text);
        return e;
    }
    parse.file = file;
    cfg_t *cfg = cfg_init(opts, CFGF_NONE);
    cfg_set_error_function(cfg, on_parse_error);
    if (validated != NULL)
        cfg_set_validate_func(cfg, validated, validate);
    else
        for (size_t i = 0; i < parse.schema->n_keys; i++)
            cfg_set_validate_func(cfg, parse.schema->keys[i].name, validate);
    bool parsed = cfg_parse_buf(cfg, (char *)text.data) == CFG_SUCCESS;
    cfg_free(cfg);
    buf_release(&text);
    return parsed && !parse.failed ? ERR_OK : ERR_INVALID;
}

/* ---- flat keys -------------------------------------------------------------------- */

static void *member(void *settings, const struct config_key *key)
{
    return (char *)settings + key->offset;
}

static bool parse_bool(struct str s, bool *out)
{
    static const struct {
        struct str word;
        bool value;
    } words[] = {{{"true", 4}, true},   {{"yes", 3}, true}, {{"1", 1}, true},
                 {{"false", 5}, false}, {{"no", 2}, false}, {{"0", 1}, false}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (!str_equal(s, words[i].word))
            continue;
        *out = words[i].value;
        return true;
    }
    return false;
}

/* Stores text under key; false with a complaint when it does not fit. */
static bool set_value(const struct config_key *key, const char *text, void *settings,
                      char *complaint, size_t size)
{
    switch (key->kind) {
    case CONFIG_STR: {
        char **s = member(settings, key);
        free(*s);
        *s = mem_strdup(text);
        return true;
    }
    case CONFIG_INT: {
        uint64_t n;
        if (!str_to_u64(str_from(text), (uint64_t)key->max, &n) || (int64_t)n < key->min) {
            snprintf(complaint, size, "%s: not a whole number from %lld to %lld", key->name,
                     (long long)key->min, (long long)key->max);
            return false;
        }
        *(int64_t *)member(settings, key) = (int64_t)n;
        return true;
    }
    case CONFIG_BOOL:
        if (!parse_bool(str_from(text), member(settings, key))) {
            snprintf(complaint, size, "%s: neither yes nor no", key->name);
            return false;
        }
        return true;
    }
    return false;
}

static int on_value(cfg_t *cfg, cfg_opt_t *opt)
{
    for (size_t i = 0; i < parse.schema->n_keys; i++) {
        const struct config_key *key = &parse.schema->keys[i];
        if (strcmp(key->name, opt->name) != 0)
            continue;
        char complaint[160];
        if (parse.seen[i])
            snprintf(complaint, sizeof complaint, "%s: given twice", key->name);
        else if (set_value(key, cfg_opt_getnstr(opt, 0), parse.settings, complaint,
                           sizeof complaint)) {
            parse.seen[i] = true;
            return 0;
        }
        fail_at(cfg, complaint);
        return -1;
    }
    return -1;
}

static enum err load_file(const struct config_schema *schema, const char *file, void *settings,
                          struct err_text *why)
{
    cfg_opt_t *opts = mem_zalloc(schema->n_keys + 1, sizeof *opts);
    for (size_t i = 0; i < schema->n_keys; i++) {
        cfg_opt_t one = CFG_STR(schema->keys[i].name, NULL, CFGF_NODEFAULT);
        opts[i] = one;
    }
    cfg_opt_t end = CFG_END();
    opts[schema->n_keys] = end;
    parse = (struct parse){.why = why, .schema = schema, .settings = settings};
    parse.seen = mem_zalloc(schema->n_keys, sizeof *parse.seen);
    enum err e = parse_file(opts, file, NULL, on_value);
    free(parse.seen);
    free(opts);
    return e;
}

static enum err load_environment(const struct config_schema *schema, void *settings,
                                 struct err_text *why)
{
    for (size_t i = 0; i < schema->n_keys; i++) {
        struct buf name = BUF_INIT;
        buf_printf(&name, "%s%s%c", schema->env_prefix, schema->keys[i].name, '\0');
        for (size_t k = 0; k < name.len; k++)
            name.data[k] = (uint8_t)toupper(name.data[k]);
        const char *text = getenv((char *)name.data);
        char complaint[160];
        enum err e = ERR_OK;
        if (text != NULL &&
            !set_value(&schema->keys[i], text, settings, complaint, sizeof complaint))
            e = err_set(why, ERR_INVALID, NULL, "environment variable %s: %s", (char *)name.data,
                        complaint);
        buf_release(&name);
        TRY(e);
    }
    return ERR_OK;
}

void config_release(const struct config_schema *schema, void *settings)
{
    for (size_t i = 0; i < schema->n_keys; i++) {
        if (schema->keys[i].kind != CONFIG_STR)
            continue;
        char **s = member(settings, &schema->keys[i]);
        free(*s);
        *s = NULL;
    }
}

enum err config_load(const struct config_schema *schema, const char *file, void *settings,
                     struct err_text *why)
{
    for (size_t i = 0; i < schema->n_keys; i++) {
        const struct config_key *key = &schema->keys[i];
        char complaint[160];
        if (!set_value(key, key->default_text != NULL ? key->default_text : "", settings, complaint,
                       sizeof complaint))
            abort(); /* the table itself is wrong */
    }
    enum err e = file != NULL ? load_file(schema, file, settings, why) : ERR_OK;
    if (e == ERR_OK)
        e = load_environment(schema, settings, why);
    if (e != ERR_OK)
        config_release(schema, settings);
    return e;
}

/* ---- titled sections ---------------------------------------------------------------- */

static size_t count_keys(const char *const *keys)
{
    size_t n = 0;
    while (keys[n] != NULL)
        n++;
    return n;
}

static bool is_list(const char *key)
{
    size_t n = strlen(key);
    return n > 2 && key[n - 1] == ']';
}

static char *bare_name(const char *key)
{
    char *name = mem_strdup(key);
    if (is_list(key))
        name[strlen(key) - 2] = '\0';
    return name;
}

/* The section that was just read, in the words of config.h, to the visitor. */
static int on_section(cfg_t *cfg, cfg_opt_t *opt)
{
    cfg_t *section = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
    size_t n = count_keys(parse.sections->keys);
    struct config_value *values = mem_zalloc(n, sizeof *values);
    const char ***texts = mem_zalloc(n, sizeof *texts);
    for (size_t i = 0; i < n; i++) {
        char *name = bare_name(parse.sections->keys[i]);
        unsigned size = cfg_size(section, name);
        texts[i] = mem_zalloc(size, sizeof **texts);
        for (unsigned k = 0; k < size; k++)
            texts[i][k] = cfg_getnstr(section, name, k);
        values[i] = (struct config_value){.values = texts[i], .n = size};
        free(name);
    }
    struct config_section s = {.title = str_from(cfg_title(section)), .values = values};
    struct err_text why = {0};
    enum err e = parse.sections->visit(parse.sections->ctx, &s, &why);
    if (e != ERR_OK)
        fail_at(cfg, why.text);
    for (size_t i = 0; i < n; i++)
        free(texts[i]);
    free(texts);
    free(values);
    return e == ERR_OK ? 0 : -1;
}

enum err config_read_sections(const struct config_section_schema *schema, const char *file,
                              struct err_text *why)
{
    size_t n = count_keys(schema->keys);
    cfg_opt_t *inner = mem_zalloc(n + 1, sizeof *inner);
    char **names = mem_zalloc(n, sizeof *names);
    for (size_t i = 0; i < n; i++) {
        names[i] = bare_name(schema->keys[i]);
        cfg_opt_t one = CFG_STR(names[i], NULL, CFGF_NODEFAULT);
        cfg_opt_t list = CFG_STR_LIST(names[i], NULL, CFGF_NODEFAULT);
        inner[i] = is_list(schema->keys[i]) ? list : one;
    }
    cfg_opt_t end = CFG_END();
    inner[n] = end;
    cfg_opt_t outer[] = {
        CFG_SEC(schema->section, inner, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES), CFG_END()};
    parse = (struct parse){.why = why, .sections = schema};
    enum err e = parse_file(outer, file, schema->section, on_section);
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
    free(inner);
    return e;
}
