/* SPDX-License-Identifier: ISC */
#include "daemon/settings.h"

#include "base/buf.h"
#include "base/config.h"
#include "base/log.h"
#include "base/mem.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENV_PREFIX        "TWOSTEP_"
#define STATE_DIR_DEFAULT "/var/lib/twostep"
#define THREADS_MAX       64
#define HIDDEN            "***"

#define TEXT(member, text)                                                                         \
    {                                                                                              \
        .name = #member, .kind = CONFIG_STR, .offset = offsetof(struct settings, member),          \
        .default_text = text                                                                       \
    }
#define NUMBER(member, text, least, most)                                                          \
    {                                                                                              \
        .name = #member, .kind = CONFIG_INT, .offset = offsetof(struct settings, member),          \
        .default_text = text, .min = least, .max = most                                            \
    }
#define FLAG(member, text)                                                                         \
    {                                                                                              \
        .name = #member, .kind = CONFIG_BOOL, .offset = offsetof(struct settings, member),         \
        .default_text = text                                                                       \
    }

static const struct config_key keys[] = {
    TEXT(listen, "127.0.0.1:7443"),
    TEXT(store, NULL),
    TEXT(store_password_file, NULL),
    NUMBER(store_workers, "16", 1, 256),
    FLAG(store_development, "no"),
    FLAG(start_without_store, "no"),
    TEXT(keyring_file, NULL),
    TEXT(callers_file, NULL),
    TEXT(state_dir, NULL),
    TEXT(log_level, "info"),
    TEXT(metrics_listen, NULL),
    FLAG(metrics_allow_remote, "no"),
    NUMBER(threads, "0", 0, THREADS_MAX),
    NUMBER(drain_seconds, "30", 0, 3600),
    FLAG(hardening, "yes"),
    FLAG(allow_plaintext, "no"),
    TEXT(tls_cert_file, NULL),
    TEXT(tls_key_file, NULL),
    TEXT(tls_client_ca_file, NULL),
    NUMBER(queue_length, "10000", 1, 1000000),
    NUMBER(message_bytes, "65536", 1024, 16777216),
    NUMBER(metadata_bytes, "8192", 1024, 65536),
    NUMBER(streams, "100", 1, 10000),
    NUMBER(connections, "10000", 1, 1000000),
    NUMBER(stall_seconds, "30", 0, 3600),
    NUMBER(calls, "100000", 1, 10000000),
    NUMBER(peer_connections, "5000", 0, 1000000),
    NUMBER(output_bytes, "262144", 16384, 16777216),
    NUMBER(idle_frames, "1000", 100, 1000000),
    NUMBER(idle_seconds, "0", 0, 604800),
    NUMBER(age_seconds, "0", 0, 604800),
    NUMBER(ping_seconds, "10", 0, 3600),
    NUMBER(caller_rate, "0", 0, 1000000),
    NUMBER(caller_burst, "1000", 1, 1000000),
    NUMBER(tenant_rate, "0", 0, 1000000),
    NUMBER(tenant_burst, "1000", 1, 1000000),
    NUMBER(caller_queue_percent, "50", 1, 100),
    NUMBER(lockout_free_tries, "5", 1, 20),
    NUMBER(lockout_first_wait, "30", 1, 3600),
    NUMBER(lockout_longest_wait, "3600", 1, 86400),
    NUMBER(lockout_limit, "100", 1, 100),
    TEXT(smtp_url, NULL),
    TEXT(smtp_user, NULL),
    TEXT(smtp_password_file, NULL),
    TEXT(smtp_ca_file, NULL),
    FLAG(smtp_allow_plaintext, "no"),
    NUMBER(smtp_timeout_seconds, "60", 1, 240),
    TEXT(template_dir, NULL),
    NUMBER(reset_limit_user, "5", 1, 1000),
    NUMBER(reset_limit_address, "5", 1, 1000),
    NUMBER(reset_limit_tenant, "1000", 1, 1000000),
};

static const struct config_schema schema = {
    .env_prefix = ENV_PREFIX, .keys = keys, .n_keys = sizeof keys / sizeof keys[0]};

static bool is_setting(struct str name)
{
    for (size_t i = 0; i < schema.n_keys; i++)
        if (strlen(keys[i].name) == name.len && strncasecmp(keys[i].name, name.p, name.len) == 0)
            return true;
    return false;
}

/* A misspelt TWOSTEP_CALLERS_FILE would be left unheeded without a word. */
static void warn_of_unknown_variables(void)
{
    for (char **e = environ; *e != NULL; e++) {
        struct str name = {.p = *e, .len = strcspn(*e, "=")};
        struct str prefix = STR(ENV_PREFIX);
        if (str_has_prefix(name, prefix) &&
            !is_setting((struct str){.p = name.p + prefix.len, .len = name.len - prefix.len}))
            log_event(LOG_WARN, "unknown_variable", log_s("name", name),
                      log_c("detail", "not a setting of this version"));
    }
}

static char *state_dir_default(void)
{
    const char *given = getenv("STATE_DIRECTORY");
    if (given == NULL || given[0] == '\0')
        return mem_strdup(STATE_DIR_DEFAULT);
    char *first = mem_strdup(given);
    first[strcspn(first, ":")] = '\0';
    return first;
}

/* *member = prefix + state_dir + "/" + name, when it was not given. */
static void fill_path(char **member, const char *prefix, const char *dir, const char *name)
{
    if ((*member)[0] != '\0')
        return;
    struct buf path = BUF_INIT;
    buf_printf(&path, "%s%s/%s", prefix, dir, name);
    buf_append_byte(&path, '\0');
    free(*member);
    *member = (char *)path.data;
}

static void fill_in(struct settings *s)
{
    if (s->state_dir[0] == '\0') {
        free(s->state_dir);
        s->state_dir = state_dir_default();
    }
    fill_path(&s->store, "sqlite:", s->state_dir, "twostep.db");
    fill_path(&s->keyring_file, "", s->state_dir, "keyring");
    if (s->threads == 0) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        s->threads = cores < 1 ? 1 : cores > THREADS_MAX ? THREADS_MAX : cores;
    }
}

static bool is_mongodb(const char *store)
{
    struct str s = str_from(store);
    return str_has_prefix(s, STR("mongodb://")) || str_has_prefix(s, STR("mongodb+srv://"));
}

enum err settings_check(const struct settings *s, struct err_text *why)
{
    enum log_level level;
    if (!log_level_parse(str_from(s->log_level), &level))
        return err_set(why, ERR_INVALID, NULL,
                       "log_level: \"%.20s\" is none of error, warn, info and debug", s->log_level);
    if (settings_sqlite_path(s) == NULL && !is_mongodb(s->store)) /* which may hold a password */
        return err_set(why, ERR_INVALID, NULL,
                       "store: none of sqlite:PATH, mongodb://… and mongodb+srv://…");
    if ((s->tls_cert_file[0] == '\0') != (s->tls_key_file[0] == '\0'))
        return err_set(why, ERR_INVALID, NULL, "tls_cert_file: goes together with tls_key_file");
    if (s->tls_client_ca_file[0] != '\0' && s->tls_cert_file[0] == '\0')
        return err_set(why, ERR_INVALID, NULL, "tls_client_ca_file: goes with a tls_cert_file");
    if (s->lockout_longest_wait < s->lockout_first_wait)
        return err_set(why, ERR_INVALID, NULL,
                       "lockout_longest_wait: shorter than lockout_first_wait");
    if (s->lockout_limit < s->lockout_free_tries)
        return err_set(why, ERR_INVALID, NULL, "lockout_limit: less than lockout_free_tries");
    return ERR_OK;
}

enum err settings_load(const char *file, struct settings *out, struct err_text *why)
{
    struct settings s = {0};
    TRY(config_load(&schema, file, &s, why));
    fill_in(&s);
    enum err e = settings_check(&s, why);
    if (e != ERR_OK) {
        settings_release(&s);
        return e;
    }
    warn_of_unknown_variables();
    *out = s;
    return ERR_OK;
}

void settings_release(struct settings *s)
{
    config_release(&schema, s);
}

/* ---- what a reload can change ------------------------------------------------------------------
 */

/* Beside the groups below. */
static const char *const changeable[] = {
    "log_level",
    "drain_seconds",
    "keyring_file",
    "callers_file",
    "lockout_free_tries",
    "lockout_first_wait",
    "lockout_longest_wait",
    "lockout_limit",
    "reset_limit_user",
    "reset_limit_address",
    "reset_limit_tenant",
    "connections",
    "peer_connections",
    "streams",
    "calls",
    "caller_queue_percent",
    "caller_rate",
    "caller_burst",
    "tenant_rate",
    "tenant_burst",
    "message_bytes",
    "metadata_bytes",
    "output_bytes",
    "stall_seconds",
    "idle_frames",
    "ping_seconds",
    "idle_seconds",
    "age_seconds",
};

/* Settings of one kind, which is there from the start or not at all: these can change if it is. */
struct group {
    struct str prefix;
    bool stays;
};

static bool can_change(struct str name, const struct group *groups, size_t n)
{
    for (size_t i = 0; i < sizeof changeable / sizeof changeable[0]; i++)
        if (str_equal(name, str_from(changeable[i])))
            return true;
    for (size_t i = 0; i < n; i++)
        if (str_has_prefix(name, groups[i].prefix))
            return groups[i].stays;
    return false;
}

static bool is_same(const struct config_key *key, const void *a, const void *b)
{
    switch (key->kind) {
    case CONFIG_STR:
        return strcmp(*(char *const *)a, *(char *const *)b) == 0;
    case CONFIG_INT:
        return *(const int64_t *)a == *(const int64_t *)b;
    case CONFIG_BOOL:
        return *(const bool *)a == *(const bool *)b;
    }
    return false;
}

static void copy_setting(const struct config_key *key, void *to, const void *from)
{
    switch (key->kind) {
    case CONFIG_STR:
        free(*(char **)to);
        *(char **)to = mem_strdup(*(char *const *)from);
        break;
    case CONFIG_INT:
        *(int64_t *)to = *(const int64_t *)from;
        break;
    case CONFIG_BOOL:
        *(bool *)to = *(const bool *)from;
        break;
    }
}

static bool stays(const char *now, const char *fresh)
{
    return (now[0] == '\0') == (fresh[0] == '\0');
}

void settings_adopt(struct settings *fresh, const struct settings *now, struct buf *changed,
                    struct buf *waiting)
{
    const struct group groups[] = {
        {STR("tls_"), stays(now->tls_cert_file, fresh->tls_cert_file)},
        {STR("smtp_"), stays(now->smtp_url, fresh->smtp_url)},
        {STR("template_dir"), stays(now->smtp_url, fresh->smtp_url)},
    };
    for (size_t i = 0; i < schema.n_keys; i++) {
        void *is = (char *)fresh + keys[i].offset;
        const void *was = (const char *)now + keys[i].offset;
        if (is_same(&keys[i], is, was))
            continue;
        bool can = can_change(str_from(keys[i].name), groups, sizeof groups / sizeof groups[0]);
        struct buf *names = can ? changed : waiting;
        buf_printf(names, "%s%s", names->len > 0 ? " " : "", keys[i].name);
        if (!can)
            copy_setting(&keys[i], is, was);
    }
}

const char *settings_sqlite_path(const struct settings *s)
{
    static const char scheme[] = "sqlite:";
    if (!str_has_prefix(str_from(s->store), STR("sqlite:")) || s->store[strlen(scheme)] == '\0')
        return NULL;
    return s->store + strlen(scheme);
}

/* ---- a URI without what it keeps secret --------------------------------------------------------
 */

static bool is_secret_option(struct str name)
{
    static const char *const secrets[] = {"password", "authmechanismproperties"};
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++)
        for (size_t at = 0; at + strlen(secrets[i]) <= name.len; at++)
            if (strncasecmp(name.p + at, secrets[i], strlen(secrets[i])) == 0)
                return true;
    return false;
}

/* "…?name=value&name=value", from the question mark on. */
static void print_options(const char *p)
{
    while (*p != '\0') {
        size_t name = strcspn(p + 1, "=&");
        size_t whole = 1 + strcspn(p + 1, "&");
        bool hide = p[1 + name] == '=' && is_secret_option((struct str){.p = p + 1, .len = name});
        printf("%.*s%s", (int)(hide ? name + 2 : whole), p, hide ? HIDDEN : "");
        p += whole;
    }
}

/* A password may hold what should have been escaped: so it ends at the last @, and where that may
 * be one of an option, nothing more is printed. */
static void print_uri(const char *uri)
{
    const char *user = strstr(uri, "://");
    const char *colon = user != NULL ? strchr(user + strlen("://"), ':') : NULL;
    const char *at = strrchr(uri, '@');
    if (colon != NULL && at != NULL && colon < at) {
        printf("%.*s:%s", (int)(colon - uri), uri, HIDDEN);
        if (memchr(uri, '?', (size_t)(at - uri)) != NULL)
            return;
        uri = at;
    }
    size_t plain = strcspn(uri, "?");
    printf("%.*s", (int)plain, uri);
    print_options(uri + plain);
}

static void print_text(const char *name, const char *value)
{
    printf("%s = \"", name);
    if (is_mongodb(value))
        print_uri(value);
    else
        printf("%s", value);
    printf("\"\n");
}

void settings_print(const struct settings *s)
{
    for (size_t i = 0; i < schema.n_keys; i++) {
        const void *at = (const char *)s + keys[i].offset;
        switch (keys[i].kind) {
        case CONFIG_STR:
            print_text(keys[i].name, *(char *const *)at);
            break;
        case CONFIG_INT:
            printf("%s = %lld\n", keys[i].name, (long long)*(const int64_t *)at);
            break;
        case CONFIG_BOOL:
            printf("%s = %s\n", keys[i].name, *(const bool *)at ? "yes" : "no");
            break;
        }
    }
}
