/* SPDX-License-Identifier: ISC */
#include "factor_internal.h"

#include "crypto/seal.h"
#include "crypto/secret.h"
#include "crypto/totp.h"
#include "domain_internal.h"
#include "keys_internal.h"

static struct seal_binding binding_of(struct tenant_id t, struct user_id u, const struct factor *f)
{
    return (struct seal_binding){.purpose = "factor",
                                 .tenant = t.s,
                                 .user = u.s,
                                 .generation = f->generation,
                                 .key_id = f->key_id};
}

enum err factor_seal(struct domain *d, struct tenant_id t, struct user_id u, struct factor *f,
                     const struct secret *secret, struct err_text *why)
{
    const struct secret *key;
    TRY(keys_get_or_make(d, t, &f->key_id, &key, why));
    struct seal_binding binding = binding_of(t, u, f);
    seal_close(f->sealed, key, &binding, secret);
    f->sealed_len = (uint16_t)(secret->len + SEAL_OVERHEAD);
    return ERR_OK;
}

static enum err open_secret(struct domain *d, struct tenant_id t, struct user_id u,
                            const struct factor *f, struct err_text *why)
{
    const struct secret *key;
    uint32_t key_id;
    enum err e = keys_get(d, t, f->key_id, &key_id, &key, why);
    if (e == ERR_NOT_FOUND)
        return err_set(why, ERR_CORRUPT, "SECRET_DOES_NOT_OPEN",
                       "the data key of a sealed secret is not there");
    TRY(e);
    struct seal_binding binding = binding_of(t, u, f);
    if (seal_open(d->scratch, key, &binding, f->sealed, f->sealed_len) != ERR_OK)
        return err_set(why, ERR_CORRUPT, "SECRET_DOES_NOT_OPEN",
                       "a sealed secret does not open: it was changed or moved");
    return ERR_OK;
}

enum err factor_match(struct domain *d, struct tenant_id t, struct user_id u,
                      const struct factor *f, const char *code, uint32_t window, int64_t now_ms,
                      int64_t *step_out, struct err_text *why)
{
    if (f->period == 0)
        return err_set(why, ERR_CORRUPT, NULL, "a secret whose codes have no period");
    TRY(open_secret(d, t, u, f, why));
    enum err e = totp_match(step_out, code, d->scratch, (enum totp_hash)f->algorithm, f->digits,
                            totp_step(now_ms, f->period), window);
    secret_set(d->scratch, NULL, 0);
    if (e != ERR_OK)
        return err_set(why, e, NULL, "the code could not be computed");
    return ERR_OK;
}
