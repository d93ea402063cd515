/* SPDX-License-Identifier: ISC */
#ifndef RPC_CALLERS_H
#define RPC_CALLERS_H

/* Who may call, and what. A caller is a program: the CRM's web tier, the mobile app's
 * backend, an ops script. It shows a bearer token, `authorization: Bearer <id>.<secret>`,
 * of whose secret the file holds a hash only, or a client certificate with the caller's SAN, a
 * URI or DNS name. The file, mode 0600:
 *
 *     caller "crm-web" {
 *         id          = "b7f1c0ffee5d2a90"
 *         secret_hash = "<64 hexadecimal digits>"
 *         permissions = {"login:web"}
 *         tenants     = {"*"}
 *     }
 *     caller "ops" {
 *         san         = "spiffe://crm.example/ops"
 *         permissions = {"policy"}
 *         tenants     = {"*"}
 *     }
 *
 * Thread: any once loaded (it does not change); the functions that change files: startup. */

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>

enum permission {
    PERMISSION_LOGIN_WEB = 1 << 0,
    PERMISSION_LOGIN_MOBILE = 1 << 1,
    PERMISSION_POLICY = 1 << 2,
    PERMISSION_ADMIN = 1 << 3,
};
#define PERMISSION_LOGIN (PERMISSION_LOGIN_WEB | PERMISSION_LOGIN_MOBILE)
#define PERMISSION_ALL   (PERMISSION_LOGIN | PERMISSION_POLICY | PERMISSION_ADMIN)

/* "login:web" into *out; false for a name that is none. */
bool caller_permission_parse(struct str name, uint32_t *out);
/* The name of one permission. */
const char *caller_permission_name(enum permission p);

#define CALLER_NAME_MAX    64
#define CALLER_TENANTS_MAX 1024

struct caller {
    const char *name;
    const char *id;             /* of its token; "": it has none */
    const char *san;            /* of its certificates; a DNS name in lower case; NULL: none */
    uint32_t permissions;       /* of enum permission */
    const char *const *tenants; /* "*" alone: all */
    size_t n_tenants;
};

struct callers;

/* Reads and checks a file. Errors name file, line and key. */
MUST_CHECK enum err callers_load(struct callers **out, const char *path, struct err_text *why);

/* Everybody is the caller "local" with every permission: for a daemon that only this
 * machine reaches. */
struct callers *callers_local(void);

void callers_free(struct callers *c);

size_t callers_count(const struct callers *c);
const struct caller *callers_at(const struct callers *c, size_t i);

/* Whose token is in this value of `authorization` (empty: none was sent)? NULL: nobody's.
 * The time does not tell a wrong secret from an unknown id. */
const struct caller *callers_authenticate(const struct callers *c, struct str authorization);

/* Whose certificate has one of these names (verified, DNS names in lower case)? The first name
 * that somebody has decides. NULL: nobody's. */
const struct caller *callers_by_certificate(const struct callers *c, const char *const *names,
                                            size_t n);

enum caller_change { CALLER_ADDED, CALLER_CHANGED, CALLER_REMOVED };

/* What became of the caller of this name. */
struct callers_visitor {
    void (*visit)(void *ctx, enum caller_change change, const char *name);
    void *ctx;
};

/* Visits every caller that is not the same in both. */
void callers_compare(const struct callers *before, const struct callers *after,
                     const struct callers_visitor *visitor);

bool caller_may_reach(const struct caller *c, struct str tenant);

#define CALLER_TOKEN_MAX 128
#define CALLER_SAN_MAX   255

/* Both write the file anew, safe against another process that does the same; comments in it
 * are lost.
 *
 * Adds a caller to the file, making it when there is none. One without a san gets an id and a
 * token, which is nowhere else; for one with a san token_out is empty. ERR_EXISTS for a name or
 * san that is taken, ERR_INVALID for a name, san, permission or tenant that breaks a rule. */
MUST_CHECK enum err callers_add(const char *path, const struct caller *caller,
                                char token_out[static CALLER_TOKEN_MAX], struct err_text *why);

/* ERR_NOT_FOUND when there is no caller of this name. */
MUST_CHECK enum err callers_remove(const char *path, const char *name, struct err_text *why);

#endif
