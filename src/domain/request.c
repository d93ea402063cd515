/* SPDX-License-Identifier: ISC */
#include "request_internal.h"

#include "crypto/digest.h"
#include "domain/domain.h"
#include "keys_internal.h"

#include <string.h>

enum err request_mark_make(struct domain *d, const uint8_t *id, const struct str *parts, size_t n,
                           struct request_mark *out, struct err_text *why)
{
    const struct secret *key;
    uint32_t key_id;
    TRY(keys_get(d, KEYS_SERVICE, 0, &key_id, &key, why));
    uint8_t digest[DIGEST_LEN];
    digest_keyed(digest, key, parts, n);
    memcpy(out->id, id, REQUEST_ID_LEN);
    memcpy(out->fingerprint, digest, REQUEST_FINGERPRINT_LEN);
    return ERR_OK;
}

struct str request_channel(int channel)
{
    return channel == CHANNEL_MOBILE ? STR("mobile") : STR("web");
}
