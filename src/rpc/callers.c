/* SPDX-License-Identifier: ISC */
#include "rpc/callers.h"

#include "base/buf.h"
#include "base/config.h"
#include "base/file.h"
#include "base/mem.h"
#include "callers_internal.h"
#include "crypto/random.h"
#include "crypto/secret.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CALLER_ID_LEN     8
#define CALLER_SECRET_LEN 32

static const struct {
    const char *name;
    enum permission bit;
} permissions[] = {
    {"login:web", PERMISSION_LOGIN_WEB},
    {"login:mobile", PERMISSION_LOGIN_MOBILE},
    {"policy", PERMISSION_POLICY},
    {"admin", PERMISSION_ADMIN},
};
#define N_PERMISSIONS (sizeof permissions / sizeof permissions[0])

bool caller_permission_parse(struct str name, uint32_t *out)
{
    for (size_t i = 0; i < N_PERMISSIONS; i++) {
        if (!str_equal(name, str_from(permissions[i].name)))
            continue;
        *out = permissions[i].bit;
        return true;
    }
    return false;
}

const char *caller_permission_name(enum permission p)
{
    for (size_t i = 0; i < N_PERMISSIONS; i++)
        if (permissions[i].bit == p)
            return permissions[i].name;
    return "unknown";
}

/* ---- the rules ---- */

static bool is_name(const char *name)
{
    size_t n = strlen(name);
    return n > 0 && n <= CALLER_NAME_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == n;
}

/* What a certificate's name may be: grpc_call_peer_names gives no others. */
static bool is_san(const char *san)
{
    size_t n = strlen(san);
    for (size_t i = 0; i < n; i++)
        if (san[i] <= ' ' || san[i] > '~')
            return false;
    return n > 0 && n <= CALLER_SAN_MAX;
}

static enum err check_caller(const struct caller *c, struct err_text *why)
{
    if (!is_name(c->name))
        return err_set(why, ERR_INVALID, NULL,
                       "caller \"%s\": a name is 1 to %d letters, digits, '-', '_' and '.'",
                       c->name, CALLER_NAME_MAX);
    if (c->san != NULL && !is_san(c->san))
        return err_set(why, ERR_INVALID, NULL,
                       "caller \"%s\": san: a name is 1 to %d visible ASCII characters", c->name,
                       CALLER_SAN_MAX);
    if (c->permissions == 0)
        return err_set(why, ERR_INVALID, NULL, "caller \"%s\": permissions: none given", c->name);
    if (c->n_tenants == 0 || c->n_tenants > CALLER_TENANTS_MAX)
        return err_set(why, ERR_INVALID, NULL, "caller \"%s\": tenants: 1 to %d, or \"*\"", c->name,
                       CALLER_TENANTS_MAX);
    for (size_t i = 0; i < c->n_tenants; i++) {
        struct str t = str_from(c->tenants[i]);
        if (t.len == 0 || t.len > 128 || !str_is_plain(t))
            return err_set(why, ERR_INVALID, NULL,
                           "caller \"%s\": tenants: an id is 1 to 128 bytes without control "
                           "characters",
                           c->name);
        if (str_equal(t, STR("*")) && c->n_tenants > 1)
            return err_set(why, ERR_INVALID, NULL,
                           "caller \"%s\": tenants: \"*\" stands alone, or not at all", c->name);
    }
    return ERR_OK;
}

/* ---- in memory ---- */

/* A DNS name, which has no colon, is the same in any case. */
static char *san_as_compared(const char *san)
{
    char *copy = mem_strdup(san);
    if (strchr(copy, ':') == NULL)
        for (char *at = copy; *at != '\0'; at++)
            *at = (char)tolower((unsigned char)*at);
    return copy;
}

static void own(struct entry *to, const struct caller *from)
{
    char **tenants = mem_zalloc(from->n_tenants, sizeof *tenants);
    for (size_t i = 0; i < from->n_tenants; i++)
        tenants[i] = mem_strdup(from->tenants[i]);
    to->caller = (struct caller){.name = mem_strdup(from->name),
                                 .id = mem_strdup(from->id),
                                 .san = from->san != NULL ? san_as_compared(from->san) : NULL,
                                 .permissions = from->permissions,
                                 .tenants = (const char *const *)tenants,
                                 .n_tenants = from->n_tenants};
}

/* Entries are const to everybody but this file. */
static void disown(struct entry *e)
{
    union {
        const char *in;
        char *out;
    } name = {.in = e->caller.name}, id = {.in = e->caller.id}, san = {.in = e->caller.san};
    union {
        const char *const *in;
        char **out;
    } tenants = {.in = e->caller.tenants};
    free(name.out);
    free(id.out);
    free(san.out);
    for (size_t i = 0; i < e->caller.n_tenants; i++)
        free(tenants.out[i]);
    free(tenants.out);
}

static struct entry *add_entry(struct callers *c, const struct caller *from)
{
    c->list = mem_realloc(c->list, (c->n + 1) * sizeof *c->list);
    struct entry *e = &c->list[c->n++];
    *e = (struct entry){0};
    own(e, from);
    return e;
}

void callers_free(struct callers *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->n; i++)
        disown(&c->list[i]);
    free(c->list);
    free(c);
}

struct callers *callers_local(void)
{
    static const char *const all[] = {"*"};
    struct caller local = {
        .name = "local", .id = "", .permissions = PERMISSION_ALL, .tenants = all, .n_tenants = 1};
    struct callers *c = mem_zalloc(1, sizeof *c);
    add_entry(c, &local);
    c->everybody = true;
    return c;
}

size_t callers_count(const struct callers *c)
{
    return c->n;
}

const struct caller *callers_at(const struct callers *c, size_t i)
{
    return &c->list[i].caller;
}

/* ---- the question ---- */

static void hash_secret(uint8_t out[DIGEST_LEN], struct str secret)
{
    digest_parts(out, &secret, 1);
}

static const struct entry *find_id(const struct callers *c, struct str id)
{
    for (size_t i = 0; i < c->n; i++)
        if (id.len > 0 && str_equal(str_from(c->list[i].caller.id), id))
            return &c->list[i];
    return NULL;
}

const struct caller *callers_authenticate(const struct callers *c, struct str authorization)
{
    if (c->everybody)
        return &c->list[0].caller;
    static const struct str scheme = {"Bearer ", 7};
    if (!str_has_prefix(authorization, scheme))
        return NULL;
    struct str token = {authorization.p + scheme.len, authorization.len - scheme.len};
    const char *dot = token.len > 0 ? memchr(token.p, '.', token.len) : NULL;
    if (dot == NULL)
        return NULL;
    struct str id = {token.p, (size_t)(dot - token.p)};
    struct str secret = {dot + 1, token.len - id.len - 1};
    /* The same work for an id that nobody has. */
    static const struct entry nobody;
    const struct entry *e = find_id(c, id);
    uint8_t hash[DIGEST_LEN];
    hash_secret(hash, secret);
    bool right = secret_equal(hash, (e != NULL ? e : &nobody)->secret_hash, DIGEST_LEN);
    return e != NULL && right ? &e->caller : NULL;
}

static const struct entry *find_san(const struct callers *c, const char *san)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->list[i].caller.san != NULL && strcmp(c->list[i].caller.san, san) == 0)
            return &c->list[i];
    return NULL;
}

const struct caller *callers_by_certificate(const struct callers *c, const char *const *names,
                                            size_t n)
{
    if (c->everybody)
        return &c->list[0].caller;
    for (size_t i = 0; i < n; i++) {
        const struct entry *e = find_san(c, names[i]);
        if (e != NULL)
            return &e->caller;
    }
    return NULL;
}

bool caller_may_reach(const struct caller *c, struct str tenant)
{
    for (size_t i = 0; i < c->n_tenants; i++)
        if (str_equal(str_from(c->tenants[i]), STR("*")) ||
            str_equal(str_from(c->tenants[i]), tenant))
            return true;
    return false;
}

/* ---- the file ---- */

enum { KEY_ID, KEY_SECRET_HASH, KEY_SAN, KEY_PERMISSIONS, KEY_TENANTS, N_KEYS };
static const char *const keys[] = {"id", "secret_hash", "san", "permissions[]", "tenants[]", NULL};

static enum err read_permissions(const struct config_value *value, const char *name, uint32_t *out,
                                 struct err_text *why)
{
    for (size_t i = 0; i < value->n; i++) {
        uint32_t bit;
        if (!caller_permission_parse(str_from(value->values[i]), &bit))
            return err_set(why, ERR_INVALID, NULL,
                           "caller \"%s\": permissions: \"%.40s\" is none of login:web, "
                           "login:mobile, policy and admin",
                           name, value->values[i]);
        *out |= bit;
    }
    return ERR_OK;
}

static enum err check_taken(const struct callers *c, const struct caller *caller,
                            struct err_text *why)
{
    for (size_t i = 0; i < c->n; i++) {
        if (strcmp(c->list[i].caller.name, caller->name) == 0)
            return err_set(why, ERR_EXISTS, NULL, "caller \"%s\": there is one already",
                           caller->name);
        if (caller->id[0] != '\0' && strcmp(c->list[i].caller.id, caller->id) == 0)
            return err_set(why, ERR_EXISTS, NULL, "caller \"%s\": id: another caller has it",
                           caller->name);
    }
    char *san = caller->san != NULL ? san_as_compared(caller->san) : NULL;
    bool taken = san != NULL && find_san(c, san) != NULL;
    free(san);
    if (taken)
        return err_set(why, ERR_EXISTS, NULL, "caller \"%s\": san: another caller has it",
                       caller->name);
    return ERR_OK;
}

/* Fine without a token when there is a san. */
static enum err read_token(const struct config_value *v, const struct caller *caller,
                           uint8_t hash[static DIGEST_LEN], struct err_text *why)
{
    if (caller->san != NULL && v[KEY_ID].n == 0 && v[KEY_SECRET_HASH].n == 0)
        return ERR_OK;
    if (!is_name(caller->id) || strchr(caller->id, '.') != NULL)
        return err_set(why, ERR_INVALID, NULL,
                       "caller \"%s\": id: not 1 to %d letters, digits, '-' and '_'", caller->name,
                       CALLER_NAME_MAX);
    if (v[KEY_SECRET_HASH].n == 0 ||
        !str_hex_decode(hash, DIGEST_LEN, str_from(v[KEY_SECRET_HASH].values[0])))
        return err_set(why, ERR_INVALID, NULL,
                       "caller \"%s\": secret_hash: not 64 hexadecimal digits", caller->name);
    return ERR_OK;
}

static enum err on_section(void *ctx, const struct config_section *s, struct err_text *why)
{
    struct callers *c = ctx;
    const struct config_value *v = s->values;
    struct caller caller = {.name = s->title.p,
                            .id = v[KEY_ID].n > 0 ? v[KEY_ID].values[0] : "",
                            .san = v[KEY_SAN].n > 0 ? v[KEY_SAN].values[0] : NULL,
                            .tenants = v[KEY_TENANTS].values,
                            .n_tenants = v[KEY_TENANTS].n};
    TRY(read_permissions(&v[KEY_PERMISSIONS], caller.name, &caller.permissions, why));
    TRY(check_caller(&caller, why));
    uint8_t hash[DIGEST_LEN] = {0};
    TRY(read_token(v, &caller, hash, why));
    TRY(check_taken(c, &caller, why));
    memcpy(add_entry(c, &caller)->secret_hash, hash, DIGEST_LEN);
    return ERR_OK;
}

enum err callers_load(struct callers **out, const char *path, struct err_text *why)
{
    TRY(file_check_private(path, why));
    struct callers *c = mem_zalloc(1, sizeof *c);
    struct config_section_schema schema = {
        .section = "caller", .keys = keys, .visit = on_section, .ctx = c};
    enum err e = config_read_sections(&schema, path, why);
    if (e != ERR_OK) {
        callers_free(c);
        return e;
    }
    *out = c;
    return ERR_OK;
}

static void write_quoted(struct buf *out, const char *s)
{
    buf_append_byte(out, '"');
    for (; *s != '\0'; s++) {
        if (*s == '"' || *s == '\\' || *s == '$')
            buf_append_byte(out, '\\');
        buf_append_byte(out, (uint8_t)*s);
    }
    buf_append_byte(out, '"');
}

static void write_entry(struct buf *out, const struct entry *e)
{
    const struct caller *c = &e->caller;
    char hash[2 * DIGEST_LEN + 1];
    str_hex_encode(hash, e->secret_hash, DIGEST_LEN);
    buf_printf(out, "caller \"%s\" {\n", c->name);
    if (c->id[0] != '\0')
        buf_printf(out, "    id          = \"%s\"\n    secret_hash = \"%s\"\n", c->id, hash);
    if (c->san != NULL) {
        buf_append_str(out, STR("    san         = "));
        write_quoted(out, c->san);
        buf_append_byte(out, '\n');
    }
    buf_append_str(out, STR("    permissions = {"));
    const char *separator = "";
    for (size_t i = 0; i < N_PERMISSIONS; i++) {
        if (!(c->permissions & permissions[i].bit))
            continue;
        buf_printf(out, "%s\"%s\"", separator, permissions[i].name);
        separator = ", ";
    }
    buf_append_str(out, STR("}\n    tenants     = {"));
    for (size_t i = 0; i < c->n_tenants; i++) {
        buf_append_str(out, i > 0 ? STR(", ") : STR(""));
        write_quoted(out, c->tenants[i]);
    }
    buf_append_str(out, STR("}\n}\n"));
}

static enum err write_file(const struct callers *c, const char *path, struct err_text *why)
{
    struct buf text = BUF_INIT;
    buf_append_str(&text, STR("# Who may call twostepd. The secrets are not here, only hashes.\n"));
    for (size_t i = 0; i < c->n; i++)
        write_entry(&text, &c->list[i]);
    enum err e = file_write_private(path, text.data, text.len, false, why);
    buf_release(&text);
    return e;
}

/* A fresh id and secret: "<16 hexadecimal digits>.<64>". */
static void make_token(char token[static CALLER_TOKEN_MAX], struct entry *e, struct caller *c,
                       char id[static 2 * CALLER_ID_LEN + 1])
{
    uint8_t bytes[CALLER_ID_LEN + CALLER_SECRET_LEN];
    random_bytes(bytes, sizeof bytes);
    str_hex_encode(id, bytes, CALLER_ID_LEN);
    memcpy(token, id, 2 * CALLER_ID_LEN);
    char *secret = token + 2 * CALLER_ID_LEN + 1;
    secret[-1] = '.';
    str_hex_encode(secret, bytes + CALLER_ID_LEN, CALLER_SECRET_LEN);
    hash_secret(e->secret_hash, str_from(secret));
    secret_wipe(bytes, sizeof bytes);
    c->id = id;
}

static enum err add(const char *path, const struct caller *caller,
                    char token_out[static CALLER_TOKEN_MAX], struct err_text *why)
{
    TRY(check_caller(caller, why));
    struct callers *c = NULL;
    enum err e = callers_load(&c, path, why);
    if (e == ERR_NOT_FOUND)
        c = mem_zalloc(1, sizeof *c);
    else if (e != ERR_OK)
        return e;
    struct caller fresh = *caller;
    struct entry hashed = {0};
    char id[2 * CALLER_ID_LEN + 1] = "";
    char token[CALLER_TOKEN_MAX] = "";
    fresh.id = id;
    if (caller->san == NULL)
        make_token(token, &hashed, &fresh, id);
    e = check_taken(c, &fresh, why);
    if (e == ERR_OK) {
        memcpy(add_entry(c, &fresh)->secret_hash, hashed.secret_hash, DIGEST_LEN);
        e = write_file(c, path, why);
    }
    if (e == ERR_OK)
        memcpy(token_out, token, sizeof token);
    secret_wipe(token, sizeof token);
    callers_free(c);
    return e;
}

static enum err drop(const char *path, const char *name, struct err_text *why)
{
    struct callers *c;
    TRY(callers_load(&c, path, why));
    size_t at = 0;
    while (at < c->n && strcmp(c->list[at].caller.name, name) != 0)
        at++;
    enum err e;
    if (at == c->n) {
        e = err_set(why, ERR_NOT_FOUND, NULL, "%s: no caller \"%.64s\"", path, name);
    } else {
        disown(&c->list[at]);
        memmove(&c->list[at], &c->list[at + 1], (c->n - at - 1) * sizeof *c->list);
        c->n--;
        e = write_file(c, path, why);
    }
    callers_free(c);
    return e;
}

/* Two changes at once would each write a file without the other's. */
enum err callers_add(const char *path, const struct caller *caller,
                     char token_out[static CALLER_TOKEN_MAX], struct err_text *why)
{
    int lock = -1;
    TRY(file_lock_folder(&lock, path, why));
    enum err e = add(path, caller, token_out, why);
    close(lock);
    return e;
}

enum err callers_remove(const char *path, const char *name, struct err_text *why)
{
    int lock = -1;
    TRY(file_lock_folder(&lock, path, why));
    enum err e = drop(path, name, why);
    close(lock);
    return e;
}
