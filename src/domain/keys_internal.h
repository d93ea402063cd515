/* SPDX-License-Identifier: ISC */
#ifndef DOMAIN_KEYS_INTERNAL_H
#define DOMAIN_KEYS_INTERNAL_H

/* The tenants' data keys, opened with the keyring and kept for KEYS_KEEP_MS at most from before
 * they were read: a key that another process destroyed works no longer. Thread: any for struct
 * keys, which the workers share; worker for the rest. */

#include "base/err.h"
#include "store/types.h"

struct domain;
struct keyring;
struct keys;
struct secret;

#define KEYS_KEEP_MS 1000

/* The empty tenant: the service's own data key. */
#define KEYS_SERVICE ((struct tenant_id){STR("")})

/* keyring is borrowed. */
struct keys *keys_new(const struct keyring *keyring);
void keys_free(struct keys *k);

/* Forgets what is kept: the store may say otherwise now. */
void keys_forget(struct keys *k);

/* As domain_shared_check_keyring and _set_keyring. */
MUST_CHECK enum err keys_check_keyring(struct keys *k, const struct keyring *keyring,
                                       struct err_text *why);
void keys_set_keyring(struct keys *k, const struct keyring *keyring);

/* The data key `id`, or the newest with id 0: this domain's own copy, until its next call; *id_out
 * is its id. ERR_NOT_FOUND: there is none; ERR_DENIED: the keyring lacks the key that sealed it, or
 * has another under its id. */
MUST_CHECK enum err keys_get(struct domain *d, struct tenant_id t, uint32_t id, uint32_t *id_out,
                             const struct secret **out, struct err_text *why);

/* As keys_get with id 0, but makes the first one where there is none. */
MUST_CHECK enum err keys_get_or_make(struct domain *d, struct tenant_id t, uint32_t *id_out,
                                     const struct secret **out, struct err_text *why);

#endif
