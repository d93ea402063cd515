/* SPDX-License-Identifier: ISC */
#ifndef RPC_CALLERS_INTERNAL_H
#define RPC_CALLERS_INTERNAL_H

/* What the files about callers share. */

#include "crypto/digest.h"
#include "rpc/callers.h"

struct entry {
    struct caller caller; /* owns what it points to */
    uint8_t secret_hash[DIGEST_LEN];
};

struct callers {
    struct entry *list;
    size_t n;
    bool everybody; /* the first entry is whoever calls */
};

#endif
