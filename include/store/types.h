/* SPDX-License-Identifier: ISC */
#ifndef STORE_TYPES_H
#define STORE_TYPES_H

/* What the stores keep, in the words of the domain. Plain data: fixed sizes, no
 * pointers but the ids that a caller lends. Times are milliseconds since 1970 (UTC)
 * on the wall clock; 0 is "none". Thread: any. */

#include "base/str.h"

/* Ids are bytes, compared as bytes; each its own type, so that two swapped arguments
 * do not compile. 1 to ID_MAX bytes; an empty tenant is the service itself. */
#define ID_MAX 128
struct tenant_id {
    struct str s;
};
struct user_id {
    struct str s;
};

#define ENROLLMENT_ID_LEN 16
struct enrollment_id {
    uint8_t bytes[ENROLLMENT_ID_LEN];
};

/* A tenant's policy; see proto/twostep/v1/twostep.proto for the meaning of each. */
#define POLICY_NAME_MAX   64
#define POLICY_TEXT_MAX   256
#define POLICY_LINK_MAX   512
#define POLICY_LOCALE_MAX 16
#define POLICY_AUTHOR_MAX 400
struct policy {
    int64_t revision; /* 1 is the first; 0: there is no policy */
    bool enabled;
    bool mobile;
    int64_t suspended_until_ms;
    char suspended_reason[POLICY_TEXT_MAX + 1];
    char issuer[POLICY_NAME_MAX + 1];
    uint8_t algorithm; /* enum totp_hash */
    uint8_t digits;
    uint16_t period; /* seconds */
    uint8_t window_steps;
    uint32_t enrollment_lifetime; /* seconds */
    uint32_t reset_lifetime;      /* seconds */
    char reset_link[POLICY_LINK_MAX + 1];
    char mail_from[POLICY_TEXT_MAX + 1];
    char mail_from_name[POLICY_NAME_MAX + 1];
    char locale[POLICY_LOCALE_MAX + 1];
    int64_t update_time_ms;
    char updated_by[POLICY_AUTHOR_MAX + 1];
};

/* A tenant's data key, sealed by the key-encryption key `kek_id`. Ids count from 1. */
#define DATA_KEY_SEALED_MAX 96
struct data_key {
    uint32_t id;
    uint32_t kek_id;
    uint16_t sealed_len;
    uint8_t sealed[DATA_KEY_SEALED_MAX];
};

/* A user's secret with what is needed to check a code of it, sealed by the tenant's
 * data key `key_id`. generation counts the secrets a user ever had, from 1. */
#define FACTOR_SEALED_MAX 128
#define MAIL_ADDRESS_MAX  254
struct factor {
    struct enrollment_id enrollment;
    uint32_t generation;
    uint32_t key_id;
    uint8_t algorithm; /* enum totp_hash */
    uint8_t digits;
    uint16_t period;    /* seconds */
    int64_t create_ms;  /* when Enroll was answered */
    int64_t confirm_ms; /* when the first right code came; 0: pending */
    int64_t expire_ms;  /* pending only */
    /* Pending only: where the notice of its first right code goes; empty: nowhere. */
    char notify_address[MAIL_ADDRESS_MAX + 1];
    char notify_locale[POLICY_LOCALE_MAX + 1];
    bool replaces; /* the store's: the user had another one when this was charged */
    uint16_t sealed_len;
    uint8_t sealed[FACTOR_SEALED_MAX];
};

/* What is known of a user before a code is looked at. */
struct user_state {
    bool enrolled;            /* has a confirmed factor */
    bool pending;             /* has a pending one that has not expired */
    uint32_t next_generation; /* the number of the next secret */
    uint32_t failures;        /* consecutive attempts without success */
    int64_t retry_after_ms;   /* how long no code is looked at; 0: not locked */
    bool locked_for_good;     /* until an administrator unlocks */
};

/* One record of the audit chain: body is a JSON object, hash covers it and the hash
 * of the record before. */
#define AUDIT_HASH_LEN 32
struct audit_record {
    int64_t seq; /* counts from 1 without a gap */
    int64_t time_ms;
    struct tenant_id tenant;
    struct str body;
    uint8_t hash[AUDIT_HASH_LEN];
};

#endif
