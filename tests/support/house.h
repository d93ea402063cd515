/* SPDX-License-Identifier: ISC */
#ifndef SUPPORT_HOUSE_H
#define SUPPORT_HOUSE_H

/* A domain on a real store, with a clock that the test moves, and the decisions as one call each:
 * every call is a batch of one job that commits. The store is SQLite in a scratch folder, or, where
 * the environment has TWOSTEP_TEST_STORE=java or =real, MongoDB (support/mongo_place.h).
 * Thread: the test's. */

#include "base/clock.h"
#include "crypto/secret.h"
#include "domain/enroll.h"
#include "domain/login.h"
#include "domain/policy.h"
#include "domain/verify.h"
#include "support/mongo_place.h"
#include "support/scratch.h"

struct house {
    struct clock clock; /* first */
    int64_t wall_ms, mono_ms;
    struct scratch scratch;
    struct mongo_place place; /* of MongoDB */
    struct keyring *keyring;
    struct store *store;
    struct domain_shared *shared;
    struct domain *domain;
    struct err_text why; /* of the last call that failed */
};

#define HOUSE_RESETS_OF_USER    3
#define HOUSE_RESETS_TO_ADDRESS 4
#define HOUSE_RESETS_OF_TENANT  6

#define HOUSE_START_MS 1700000010000 /* in the middle of a time step of 30 s */

/* SQLite? A test about the file itself, or about transactions, is for that one only. */
bool house_is_sqlite(void);

void house_init(struct house *h);
void house_release(struct house *h);
/* For a test that has business with the database itself: house_close, then house_open. */
void house_close(struct house *h);
void house_open(struct house *h);
/* As after a restart of the process. */
void house_reopen(struct house *h);
/* What its domain was made with. */
struct domain_options house_options(struct house *h);
/* Both clocks. */
void house_advance(struct house *h, int64_t ms);

/* Any decision as a batch of one job that commits. */
enum err house_decide(struct house *h, enum err (*decide)(struct house *h, void *ctx), void *ctx);

enum err house_set_policy(struct house *h, const char *tenant, uint32_t fields,
                          const struct policy *values);
/* enabled, and mobile too. */
void house_enable(struct house *h, const char *tenant);

enum err house_login(struct house *h, const char *tenant, const char *user, enum channel channel,
                     struct login_answer *out);

/* The caller releases *out. */
enum err house_enroll(struct house *h, const char *tenant, const char *user,
                      struct enroll_answer *out);

/* Enrols and confirms with the present code; *secret_out is the user's secret (secret_free). */
void house_enroll_confirmed(struct house *h, const char *tenant, const char *user,
                            struct secret **secret_out);

/* What a test may vary of a request: start from HOUSE_REQUEST. */
struct house_request {
    const char *tenant, *user, *code;
    enum channel channel;
    bool password_verified;
    const struct enrollment_id *enrollment;
    const uint8_t *request_id;
};
#define HOUSE_REQUEST(t, u, c)                                                                     \
    ((struct house_request){                                                                       \
        .tenant = t, .user = u, .code = c, .channel = CHANNEL_WEB, .password_verified = true})

enum err house_verify(struct house *h, const struct house_request *r, struct verify_answer *out);

/* Verify without frills; aborts the test when it cannot be decided. */
enum verify_outcome house_outcome(struct house *h, const char *tenant, const char *user,
                                  const char *code);

/* The SHA-1, 6-digit, 30 s code of a secret, `steps` from now; borrowed until the next call. */
const char *house_code(struct house *h, const struct secret *secret, int64_t steps);

/* A code that fits none of the steps within 3 of now. */
const char *house_wrong_code(struct house *h, const struct secret *secret);

#endif
