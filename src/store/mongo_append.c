/* SPDX-License-Identifier: ISC */
#include "mongo_append_internal.h"

#include "mongo_put_internal.h"
#include "mongo_user_bson_internal.h"

#include <stdio.h>

void mongo_append_put_room(bson_t *filter)
{
    char last[16];
    snprintf(last, sizeof last, "%s.%d", F_LOG, ATTEMPT_LOG_MAX - 1);
    mongo_put_exists(filter, last, false);
    /* A log that got lost is not begun again: what it counted is lost with it. */
    mongo_put_exists(filter, F_LOG, true);
}

void mongo_append_put_push(bson_t *update, const struct attempt_entry *entry)
{
    bson_t push, log;
    mongo_put_begin(update, "$push", &push);
    mongo_put_begin(&push, F_LOG, &log);
    mongo_user_bson_write_entry(&log, entry);
    mongo_put_end(&push, &log);
    mongo_put_end(update, &push);
    mongo_put_op_int(update, "$inc", F_VERSION, 1);
}

enum mongo_end mongo_append(struct mongo_store *s, struct tenant_id t, struct user_id u,
                            const struct attempt_entry *entry, const bson_t *filter,
                            const bson_t *new_user, enum err *read, struct err_text *why)
{
    bson_t update = BSON_INITIALIZER, fields = BSON_INITIALIZER, doc;
    bool found = false;
    mongo_users_forget(s);
    mongo_append_put_push(&update, entry);
    if (new_user != NULL)
        mongo_put_doc(&update, "$setOnInsert", new_user);
    mongo_user_bson_put_fields(&fields, MONGO_HOT);
    struct mongo_change c = {.in = MONGO_USERS,
                             .filter = filter,
                             .update = &update,
                             .fields = &fields,
                             .upsert = new_user != NULL};
    enum mongo_end end = mongo_db_modify(&s->db, &c, &doc, &found, why);
    *read = ERR_OK;
    if (end == MONGO_DONE && found) {
        s->user = mongo_user_new(t, u);
        *read = mongo_user_bson_read(s->user, &doc, MONGO_HOT, why);
        bson_destroy(&doc);
    }
    bson_destroy(&update);
    bson_destroy(&fields);
    return end;
}

enum err mongo_append_refused(struct mongo_store *s, struct tenant_id t, struct user_id u,
                              struct err_text *why)
{
    struct err_text said = *why;
    TRY(mongo_users_read(s, t, u, MONGO_HOT, why));
    *why = said;
    return mongo_db_failed(why);
}

/* ---- a full log ---------------------------------------------------------------------------- */

struct folding {
    const struct lockout_rule *rule;
    int64_t now_ms;
    size_t at_least; /* shorter logs stay as they are */
};

static enum err fold(struct mongo_user *user, void *args, struct err_text *why)
{
    const struct folding *f = args;
    (void)why;
    if (user->attempts.n < f->at_least)
        return ERR_OK;
    attempt_log_fold(&user->attempts, f->rule, mongo_user_own_id(user), f->now_ms);
    user->changed |= MONGO_ATTEMPTS;
    return ERR_OK;
}

enum err mongo_append_make_room(struct mongo_store *s, struct tenant_id t, struct user_id u,
                                const struct lockout_rule *rule, int64_t now_ms,
                                struct err_text *why)
{
    struct folding f = {.rule = rule, .now_ms = now_ms, .at_least = ATTEMPT_LOG_FOLD};
    return mongo_users_change(s, t, u, MONGO_HOT, fold, &f, why);
}

/* A request that came before. An open one is given back with the secret that it was about. */
static void repeated(const struct mongo_user *user, const struct answer *first, int64_t now_ms,
                     struct charged *out)
{
    out->result = CHARGE_REPEATED;
    out->first = *first;
    if (first->outcome != ANSWER_OPEN)
        return;
    const struct factor *f = mongo_user_factor(user, &first->enrollment, now_ms);
    if (f == NULL && user->has_old &&
        str_equal_bytes(user->old.enrollment.bytes, first->enrollment.bytes, ENROLLMENT_ID_LEN))
        f = &user->old;
    if (f != NULL)
        out->factor = *f;
}

enum charge_result mongo_append_recall(const struct mongo_user *user,
                                       const struct attempt_play *play, size_t at,
                                       const struct request_mark *mark, int64_t now_ms,
                                       struct charged *out)
{
    const uint8_t *first = user->attempts.entries[at].mark.fingerprint;
    if (!str_equal_bytes(first, mark->fingerprint, REQUEST_FINGERPRINT_LEN))
        return CHARGE_REUSED;
    repeated(user, &play->views[at].answer, now_ms, out);
    return CHARGE_REPEATED;
}

/* What a document begins with that is made for an answer to a stranger. */
static void put_new_user(bson_t *b, struct tenant_id t, struct user_id u, int64_t now_ms)
{
    bson_t none;
    const struct mongo_writes writes = {.n = 0};
    mongo_put_bytes(b, F_TENANT, t.s.p, t.s.len);
    mongo_put_bytes(b, F_USER, u.s.p, u.s.len);
    mongo_writes_write(b, &writes);
    mongo_put_int(b, F_FAILURES, 0);
    mongo_put_int(b, F_LAST, 0);
    mongo_put_int(b, F_GEN, 0);
    mongo_put_int(b, F_STEP, -1);
    mongo_put_begin_array(b, F_RESETS, &none);
    mongo_put_end_array(b, &none);
    mongo_put_begin_array(b, F_MAILS, &none);
    mongo_put_end_array(b, &none);
    mongo_put_int(b, F_SWEEP, now_ms + MONGO_STRANGER_KEEP_MS);
}

static enum mongo_end append_note(struct mongo_store *s, struct tenant_id t, struct user_id u,
                                  const struct attempt_entry *entry, enum err *read,
                                  struct err_text *why)
{
    bson_t filter = BSON_INITIALIZER, new_user = BSON_INITIALIZER;
    struct mongo_key key = mongo_user_key(t, u);
    mongo_put_bytes(&filter, "_id", key.bytes, key.len);
    mongo_append_put_room(&filter);
    put_new_user(&new_user, t, u, entry->time_ms);
    enum mongo_end end = mongo_append(s, t, u, entry, &filter, &new_user, read, why);
    bson_destroy(&filter);
    bson_destroy(&new_user);
    return end;
}

/* What became of a note. */
static void conclude_note(const struct mongo_user *user, const struct attempt_entry *entry,
                          const struct lockout_rule *rule, struct charged *out)
{
    struct attempt_play play;
    attempt_log_play(&user->attempts, rule, mongo_user_own_id(user), &play);
    const struct attempt_view *v = &play.views[user->attempts.n - 1];
    *out = (struct charged){.result = CHARGE_READY, .last_step = -1};
    if (v->end == ATTEMPT_TOO_MANY)
        out->result = CHARGE_TOO_MANY;
    else if (v->end == ATTEMPT_REPEATED || v->end == ATTEMPT_REUSED)
        out->result = mongo_append_recall(user, &play, v->first, &entry->mark, entry->time_ms, out);
    attempt_log_play_release(&play);
}

enum err mongo_append_remember(struct store *base, struct tenant_id t, struct user_id u,
                               const struct request_mark *r, const struct answer *a,
                               const struct lockout_rule *lockout, struct charged *out,
                               struct err_text *why)
{
    struct mongo_store *s = mongo_store_of(base);
    struct attempt_entry entry = {
        .kind = ATTEMPT_NOTED, .is_request = true, .mark = *r, .time_ms = a->time_ms, .answer = *a};
    for (;;) {
        enum err e;
        enum mongo_end end = append_note(s, t, u, &entry, &e, why);
        if (end == MONGO_DONE && e == ERR_OK)
            conclude_note(s->user, &entry, lockout, out);
        if (end == MONGO_DONE)
            return e;
        if (end == MONGO_REFUSED)
            return mongo_append_refused(s, t, u, why);
        TRY(mongo_db_try_again(&s->db, end, why));
        /* Sent again, it counts once. A duplicate is a log that is full, or one that somebody
         * else has just begun. */
        if (end == MONGO_DUPLICATE) {
            TRY(mongo_append_make_room(s, t, u, lockout, entry.time_ms, why));
            TRY(mongo_db_check_time(&s->db, "user", why));
        }
    }
}
