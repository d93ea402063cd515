/* SPDX-License-Identifier: ISC */
#include "listeners_internal.h"

#include "base/log.h"
#include "base/mem.h"
#include "daemon/settings.h"
#include "grpc/server.h"
#include "grpc/tls.h"
#include "systemd_internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEPARATORS " ,\t\r\n"

struct listener {
    char *address; /* as in the settings, or as bound */
    int passed;    /* the socket that was passed; -1: none */
};

struct listeners {
    struct listener *list;
    size_t n;
    struct grpc_tls *tls; /* until the server has it; NULL: none */
};

static void add(struct listeners *l, const char *address, int passed)
{
    l->list = mem_realloc(l->list, (l->n + 1) * sizeof *l->list);
    l->list[l->n++] = (struct listener){.address = mem_strdup(address), .passed = passed};
}

/* The server has its own copies. With one left open here, clients would still be taken into the
 * queue while it drains. */
static void forget_passed(struct listener *one)
{
    if (one->passed >= 0)
        close(one->passed);
    one->passed = -1;
}

static void add_settings(struct listeners *l, const char *listen)
{
    char *words = mem_strdup(listen);
    char *rest = words;
    for (const char *word; (word = strsep(&rest, SEPARATORS)) != NULL;)
        if (word[0] != '\0')
            add(l, word, -1);
    free(words);
}

static enum err add_passed(struct listeners *l, int n, struct err_text *why)
{
    for (int i = 0; i < n; i++) {
        char address[GRPC_ADDRESS_MAX];
        TRY(grpc_address_of_socket(SYSTEMD_FIRST_FD + i, address, why));
        add(l, address, SYSTEMD_FIRST_FD + i);
    }
    return ERR_OK;
}

static const char *objection(const struct settings *set, const char *address)
{
    if (!grpc_address_is_valid(address))
        return "is none of host:port, [v6]:port and unix:PATH";
    if (grpc_address_is_local(address))
        return NULL;
    if (set->callers_file[0] == '\0')
        return "is more than this machine, and there is no callers_file";
    if (set->tls_cert_file[0] == '\0' && !set->allow_plaintext)
        return "is more than this machine, and without TLS that needs allow_plaintext";
    return NULL;
}

static enum err check(const struct listeners *l, const struct settings *set, struct err_text *why)
{
    if (l->n == 0)
        return err_set(why, ERR_INVALID, NULL, "listen: there is no address");
    for (size_t i = 0; i < l->n; i++) {
        const char *wrong = objection(set, l->list[i].address);
        if (wrong != NULL)
            return err_set(why, ERR_DENIED, NULL, "listen: %.60s %s", l->list[i].address, wrong);
    }
    return ERR_OK;
}

/* NULL when the settings name no certificates. Logs what an operator should know. */
static enum err load_tls(struct grpc_tls **out, const struct settings *set, struct err_text *why)
{
    *out = NULL;
    if (set->tls_cert_file[0] == '\0')
        return ERR_OK;
    const struct grpc_tls_files files = {
        .cert_file = set->tls_cert_file,
        .key_file = set->tls_key_file,
        .client_ca_file = set->tls_client_ca_file[0] != '\0' ? set->tls_client_ca_file : NULL,
    };
    TRY(grpc_tls_load(out, &files, why));
    if (grpc_tls_warning(*out) != NULL)
        log_event(LOG_WARN, "certificate_ended", log_c("detail", grpc_tls_warning(*out)));
    return ERR_OK;
}

enum err listeners_new(struct listeners **out, const struct settings *set, int n_passed,
                       struct err_text *why)
{
    struct listeners *l = mem_zalloc(1, sizeof *l);
    enum err e = ERR_OK;
    if (n_passed > 0)
        e = add_passed(l, n_passed, why);
    else
        add_settings(l, set->listen);
    if (e == ERR_OK)
        e = check(l, set, why);
    if (e == ERR_OK)
        e = load_tls(&l->tls, set, why);
    if (e == ERR_OK)
        *out = l;
    else
        listeners_free(l);
    return e;
}

void listeners_free(struct listeners *l)
{
    if (l == NULL)
        return;
    for (size_t i = 0; i < l->n; i++) {
        free(l->list[i].address);
        forget_passed(&l->list[i]);
    }
    grpc_tls_free(l->tls);
    free(l->list);
    free(l);
}

enum err listeners_open(struct listeners *l, struct grpc_server *server, const struct settings *set,
                        struct err_text *why)
{
    for (size_t i = 0; i < l->n; i++) {
        char bound[GRPC_ADDRESS_MAX];
        struct err_text cause = {0};
        struct listener *one = &l->list[i];
        enum err e = one->passed >= 0 ? grpc_server_listen_on(server, one->passed, bound, &cause)
                                      : grpc_server_listen(server, one->address, bound, &cause);
        if (e != ERR_OK)
            return err_set(why, e, NULL, "listen: %s", cause.text);
        forget_passed(one);
        bool tls = set->tls_cert_file[0] != '\0' && !str_has_prefix(str_from(bound), STR("unix:"));
        log_event(LOG_INFO, "listening", log_c("address", bound), log_c("tls", tls ? "yes" : "no"));
    }
    return ERR_OK;
}

void listeners_give_tls(struct listeners *l, struct grpc_server *server)
{
    if (l->tls != NULL)
        grpc_server_set_tls(server, l->tls);
    l->tls = NULL;
}

enum err listeners_check(const struct listeners *l, const struct settings *set,
                         struct grpc_tls **out, struct err_text *why)
{
    TRY(check(l, set, why));
    return load_tls(out, set, why);
}

void listeners_log_paused(void *ctx, const char *why)
{
    (void)ctx;
    if (why != NULL)
        log_event(LOG_WARN, "accept_paused", log_c("reason", why));
    else
        log_event(LOG_INFO, "accept_resumed",
                  log_c("detail", "there is room for connections again"));
}

void listeners_log_refused(void *ctx, const char *peer, const char *why)
{
    (void)ctx;
    log_event(LOG_INFO, "connection_refused", log_c("peer", peer), log_c("reason", why));
}
