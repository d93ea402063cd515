/* SPDX-License-Identifier: ISC */
#ifndef SUPPORT_STORE_KIT_H
#define SUPPORT_STORE_KIT_H

/* A store of some kind under test, and its operations as one call each: every call is a
 * batch of one job that is kept when the operation succeeds.
 *
 * What else happens around each call is the mode's: it must not make a difference, so one
 * set of tests checks in every mode that nothing is lost and nothing undone stays.
 * Aborts the test when the store fails to begin or to commit. Thread: the test's. */

#include "store/store.h"

/* How to get a store of this kind. */
struct store_kind {
    const char *name;
    /* Not transactional: nothing is undone, each store writes an audit chain of its own, and
     * all attempts of a user are judged by one rule. */
    bool shared;
    /* An empty store; *place is what the others are given. */
    struct store *(*make)(void **place);
    /* The same store after a restart of the process: s is closed. */
    struct store *(*reopen)(void *place, struct store *s);
    void (*destroy)(void *place, struct store *s);
};

enum kit_mode {
    KIT_PLAIN,
    KIT_RESTART, /* reopened after every call */
    KIT_DROP,    /* before every call the same in a job that is not kept */
    KIT_ABANDON, /* before every call the same in a batch that is abandoned */
    KIT_MODES,
    KIT_MODES_UNDONE_NOTHING = KIT_DROP, /* of a store that is not transactional */
};
extern const char *const kit_mode_names[KIT_MODES];

struct kit {
    const struct store_kind *kind;
    enum kit_mode mode;
    void *place;
    struct store *store;
    int64_t now_ms;
    struct lockout_rule lockout; /* 5 free tries, 30 s doubling to 1 h, 100 for good */
    struct err_text why;         /* of the last operation that failed */
};

#define KIT_BUDGET_MS 10000
#define KIT_START_MS  INT64_C(1750000000000)
#define KIT_DIGITS    6

void kit_init(struct kit *k, const struct store_kind *kind, enum kit_mode mode);
void kit_release(struct kit *k);
void kit_reopen(struct kit *k);

/* Anything as one job: what act returns. It is called twice in some modes, so it must set all
 * that it answers. */
enum err kit_job(struct kit *k, enum err (*act)(struct kit *k, void *args), void *args);

struct tenant_id kit_tenant(const char *id);
struct user_id kit_user(const char *id);

/* Made from a number: equal for equal ones. */
struct enrollment_id kit_enrollment(uint32_t n);
struct request_mark kit_request(uint32_t id, uint32_t fingerprint);
/* Time: now. */
struct answer kit_answer(const struct kit *k, uint8_t outcome);
/* The generation-th secret of a user, pending for ten minutes from now, with this id. */
struct factor kit_factor(const struct kit *k, uint32_t generation, uint32_t enrollment);

enum {
    KIT_ACCEPTED = 1,
    KIT_WRONG = 2,
    KIT_REPLAYED = 3,
    KIT_LOCKED = 4,
    KIT_NOT_ENROLLED = 5,
    KIT_NO_ENROLLMENT = 8
};

/* The charge of a login at now, with the answers of above; change what differs. */
struct charge kit_login(const struct kit *k);

enum err kit_charge(struct kit *k, const char *t, const char *u, const struct charge *c,
                    struct charged *out);
enum err kit_accept(struct kit *k, const char *t, const char *u, const struct acceptance *a,
                    bool *won);
enum err kit_remember(struct kit *k, const char *t, const char *u, const struct request_mark *r,
                      const struct answer *a, struct charged *out);
enum err kit_user_get(struct kit *k, const char *t, const char *u, struct user_state *out);
enum err kit_pending_put(struct kit *k, const char *t, const char *u, const struct factor *f);
enum err kit_policy_get(struct kit *k, const char *t, struct policy *out);
enum err kit_policy_put(struct kit *k, const char *t, const struct policy *p);
enum err kit_data_key_get(struct kit *k, const char *t, uint32_t id, struct data_key *out);
enum err kit_data_key_add(struct kit *k, const char *t, const struct data_key *key);
enum err kit_sweep(struct kit *k, uint32_t limit, uint32_t *n_out);

/* Outside of jobs; a batch of its own. */
enum err kit_audit_append(struct kit *k, const struct audit_record *r);
enum err kit_audit_head(struct kit *k, int64_t *seq, uint8_t hash[AUDIT_HASH_LEN]);

/* Shorter: how the attempt ended; the accept of a step of the enrolment with this number, as
 * a login without a request id; a user who is enrolled, first step and enrolment as given. */
enum charge_result kit_try(struct kit *k, const char *t, const char *u);
bool kit_accept_step(struct kit *k, const char *t, const char *u, uint32_t enrollment,
                     int64_t step);
void kit_enroll(struct kit *k, const char *t, const char *u, uint32_t enrollment, int64_t step);
uint32_t kit_failures(struct kit *k, const char *t, const char *u);

#endif
