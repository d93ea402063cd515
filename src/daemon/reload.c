/* SPDX-License-Identifier: ISC */
#include "reload_internal.h"

#include "base/buf.h"
#include "base/log.h"
#include "crypto/keyring.h"
#include "crypto/secret.h"
#include "daemon/settings.h"
#include "domain/lockout.h"
#include "grpc/server.h"
#include "grpc/tls.h"
#include "limits_internal.h"
#include "listeners_internal.h"
#include "mailroom_internal.h"
#include "password_internal.h"
#include "rpc/callers.h"
#include "rpc/rpc.h"
#include "systemd_internal.h"

/* The limits of resets are per hour. */
#define RESET_LIMIT_WINDOW_MS (60 * 60 * 1000)
/* Of one list in the log; what does not fit is counted. */
#define NAMES_MAX 1024

/* Read and checked, and not in effect. */
struct fresh {
    struct settings set;
    bool has_set;
    struct grpc_tls *tls; /* NULL: there is no TLS */
    struct callers *callers;
    struct keyring *keyring;
    struct mail_kit *kit; /* NULL: no mail is sent */
    int64_t certificate_ends_s;
    struct buf changed, waiting; /* names of settings */
};

struct domain_rules reload_rules(const struct settings *set)
{
    struct lockout_settings lockout = {
        .free_tries = (uint32_t)set->lockout_free_tries,
        .first_wait_s = (uint32_t)set->lockout_first_wait,
        .longest_wait_s = (uint32_t)set->lockout_longest_wait,
        .limit = (uint32_t)set->lockout_limit,
    };
    return (struct domain_rules){.lockout = lockout_rule(&lockout),
                                 .reset_limits = {.window_ms = RESET_LIMIT_WINDOW_MS,
                                                  .per_user = (uint32_t)set->reset_limit_user,
                                                  .per_address = (uint32_t)set->reset_limit_address,
                                                  .per_tenant = (uint32_t)set->reset_limit_tenant}};
}

enum err reload_read_callers(struct callers **out, const struct settings *set, struct err_text *why)
{
    if (set->callers_file[0] != '\0')
        return callers_load(out, set->callers_file, why);
    *out = callers_local();
    return ERR_OK;
}

/* ---- reading -----------------------------------------------------------------------------------
 */

/* Two things hold: what the operator has written fits together, and so does what of it can be in
 * effect beside what only a restart changes. */
static enum err read_settings(struct fresh *f, const struct reload *r, struct err_text *why)
{
    TRY(settings_load(r->config_file, &f->set, why));
    f->has_set = true;
    settings_adopt(&f->set, r->set, &f->changed, &f->waiting);
    return settings_check(&f->set, why);
}

/* It is used by new connections to the store only after a restart, but a start must find it. */
static enum err check_store_password(const struct settings *set, struct err_text *why)
{
    struct secret *password;
    enum err e = password_read(&password, set->store_password_file, why);
    secret_free(password);
    return e;
}

static enum err read_keyring(struct fresh *f, const struct reload *r, struct err_text *why)
{
    TRY(keyring_load(&f->keyring, f->set.keyring_file, why));
    struct err_text cause = {0};
    enum err e = domain_shared_check_keyring(r->shared, f->keyring, &cause);
    return e == ERR_OK ? e : err_set(why, e, NULL, "%.120s: %s", f->set.keyring_file, cause.text);
}

static enum err read_all(struct fresh *f, const struct reload *r, struct err_text *why)
{
    TRY(read_settings(f, r, why));
    TRY(listeners_check(r->listeners, &f->set, &f->tls, why));
    TRY(reload_read_callers(&f->callers, &f->set, why));
    TRY(read_keyring(f, r, why));
    TRY(check_store_password(&f->set, why));
    if (r->mailroom != NULL)
        TRY(mailroom_read_kit(&f->kit, &f->set, why));
    return ERR_OK;
}

static void release(struct fresh *f)
{
    if (f->has_set)
        settings_release(&f->set);
    grpc_tls_free(f->tls);
    callers_free(f->callers);
    keyring_free(f->keyring);
    mailroom_free_kit(f->kit);
    buf_release(&f->changed);
    buf_release(&f->waiting);
}

/* ---- telling -----------------------------------------------------------------------------------
 */

struct names {
    struct buf text;
    size_t left_out;
};

static void add_name(struct names *n, const char *name)
{
    if (n->text.len > NAMES_MAX)
        n->left_out++;
    else
        buf_printf(&n->text, "%s%s", n->text.len > 0 ? " " : "", name);
}

struct changes {
    struct names callers[CALLER_REMOVED + 1]; /* by enum caller_change */
    struct names keys_added, keys_removed;
};

static void note_caller(void *ctx, enum caller_change change, const char *name)
{
    struct changes *c = ctx;
    add_name(&c->callers[change], name);
}

static void note_keys(struct names *to, const struct keyring *in, const struct keyring *not_in)
{
    for (size_t i = 0; i < keyring_count(in); i++) {
        uint32_t id = keyring_id_at(in, i);
        struct buf text = BUF_INIT;
        buf_printf(&text, "%u%c", (unsigned)id, '\0');
        if (keyring_key(not_in, id) == NULL)
            add_name(to, (const char *)text.data);
        buf_release(&text);
    }
}

static void note_changes(struct changes *c, const struct reload *r, const struct fresh *f)
{
    struct callers_visitor visitor = {.visit = note_caller, .ctx = c};
    callers_compare(r->callers, f->callers, &visitor);
    note_keys(&c->keys_added, f->keyring, r->keyring);
    note_keys(&c->keys_removed, r->keyring, f->keyring);
}

static struct str text_of(struct names *n)
{
    if (n->left_out > 0)
        buf_printf(&n->text, " and %zu more", n->left_out);
    return buf_str(&n->text);
}

static void tell(struct changes *c, const struct reload *r, const struct fresh *f)
{
    bool tls = f->certificate_ends_s != 0;
    log_event(f->waiting.len > 0 ? LOG_WARN : LOG_INFO, "reloaded",
              log_s("settings", buf_str(&f->changed)),
              log_s("restart_needed", buf_str(&f->waiting)),
              log_s("callers_added", text_of(&c->callers[CALLER_ADDED])),
              log_s("callers_changed", text_of(&c->callers[CALLER_CHANGED])),
              log_s("callers_removed", text_of(&c->callers[CALLER_REMOVED])),
              log_s("keys_added", text_of(&c->keys_added)),
              log_s("keys_removed", text_of(&c->keys_removed)),
              log_i("key_active", keyring_active(r->keyring)),
              log_c("certificate", tls ? r->set->tls_cert_file : ""),
              log_i("certificate_ends", f->certificate_ends_s));
    for (size_t i = 0; i < sizeof c->callers / sizeof c->callers[0]; i++)
        buf_release(&c->callers[i].text);
    buf_release(&c->keys_added.text);
    buf_release(&c->keys_removed.text);
}

/* ---- putting in place --------------------------------------------------------------------------
 */

static void apply_settings(struct reload *r, struct fresh *f)
{
    struct settings last = *r->set;
    *r->set = f->set;
    f->set = last;
    enum log_level level;
    if (log_level_parse(str_from(r->set->log_level), &level))
        log_set_level(level);
    struct domain_rules rules = reload_rules(r->set);
    domain_shared_set_rules(r->shared, &rules);
}

static void apply_limits(struct reload *r)
{
    struct grpc_limits edge = limits_of_edge(r->set);
    struct rpc_limits rpc = limits_of_rpc(r->set, callers_count(r->callers));
    grpc_server_set_limits(r->server, &edge);
    rpc_set_limits(r->rpc, &rpc);
}

/* Nothing here can fail. What was in effect goes to f, or to whoever still uses it. */
static void apply(struct reload *r, struct fresh *f)
{
    apply_settings(r, f);
    struct keyring *last = r->keyring;
    domain_shared_set_keyring(r->shared, f->keyring);
    r->keyring = f->keyring;
    f->keyring = last;
    if (f->tls != NULL) {
        f->certificate_ends_s = grpc_tls_expires_s(f->tls);
        grpc_server_set_tls(r->server, f->tls);
        f->tls = NULL;
    }
    if (f->kit != NULL)
        mailroom_change(r->mailroom, f->kit);
    f->kit = NULL;
    rpc_set_callers(r->rpc, f->callers);
    r->callers = f->callers;
    f->callers = NULL;
    apply_limits(r);
}

void reload_run(struct reload *r)
{
    struct err_text why = {0};
    struct fresh f = {0};
    systemd_notify_reloading();
    if (read_all(&f, r, &why) == ERR_OK) {
        struct changes changes = {0};
        note_changes(&changes, r, &f);
        apply(r, &f);
        tell(&changes, r, &f);
    } else {
        log_event(LOG_ERROR, "reload_failed", log_c("detail", why.text));
    }
    release(&f);
    systemd_notify("READY=1");
}
