/* SPDX-License-Identifier: ISC */
#include "fence_internal.h"

#include "base/log.h"
#include "daemon/settings.h"
#include "listeners_internal.h"

#include <string.h>

enum err fence_start(struct fence *f, const char *config_file, const struct settings *set,
                     struct err_text *why)
{
    if (!set->hardening)
        return ERR_OK;
    TRY(harden_files(config_file, set, &f->hardened, why));
    TRY(harden_helper_start(&f->binder, why));
    return harden_drop_capabilities(why);
}

struct binding {
    struct listeners *listeners;
    struct grpc_server *server;
    const struct settings *set;
    struct err_text *why;
    enum err result;
};

static void bind_all(void *ctx)
{
    struct binding *b = ctx;
    b->result = listeners_open(b->listeners, b->server, b->set, b->why);
}

enum err fence_listen(struct fence *f, struct listeners *l, struct grpc_server *server,
                      const struct settings *set, struct err_text *why)
{
    struct binding binding = {.listeners = l, .server = server, .set = set, .why = why};
    if (f->binder != NULL)
        harden_helper_end(f->binder, bind_all, &binding);
    else
        bind_all(&binding);
    f->binder = NULL;
    return binding.result;
}

enum err fence_close(struct fence *f, const struct settings *set, struct err_text *why)
{
    static const char on[] = "on", off[] = "off by the settings";
    if (set->hardening)
        TRY(harden_calls(&f->hardened, why));
    else
        f->hardened = (struct hardened){.landlock = off, .seccomp = off};
    bool whole = strcmp(f->hardened.landlock, on) == 0 && strcmp(f->hardened.seccomp, on) == 0;
    log_event(whole ? LOG_INFO : LOG_WARN, "hardened", log_c("landlock", f->hardened.landlock),
              log_c("seccomp", f->hardened.seccomp));
    return ERR_OK;
}

void fence_stop(struct fence *f)
{
    harden_helper_end(f->binder, NULL, NULL);
}
