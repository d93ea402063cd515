/* SPDX-License-Identifier: ISC */
#include "mongo_internal.h"
#include "mongo_put_internal.h"
#include "mongo_user_bson_internal.h"

#include <stdlib.h>

void mongo_users_forget(struct mongo_store *s)
{
    mongo_user_free(s->user);
    s->user = NULL;
}

static bool is_this(const struct mongo_user *user, struct tenant_id t, struct user_id u)
{
    return user != NULL && str_equal(mongo_user_tenant(user).s, t.s) &&
           str_equal(mongo_user_id(user).s, u.s);
}

static void put_fields(bson_t *b, unsigned parts)
{
    static const char *const cold[] = {F_RESETS, F_MAILS};
    if (parts & MONGO_RESETS)
        return;
    for (size_t i = 0; i < sizeof cold / sizeof cold[0]; i++)
        mongo_put_int(b, cold[i], 0);
}

enum err mongo_users_read(struct mongo_store *s, struct tenant_id t, struct user_id u,
                          unsigned parts, struct err_text *why)
{
    bson_t filter = BSON_INITIALIZER, fields = BSON_INITIALIZER, doc;
    bool found = false;
    mongo_users_forget(s);
    struct mongo_user *user = mongo_user_new(t, u);
    mongo_put_bytes(&filter, "_id", user->key.bytes, user->key.len);
    put_fields(&fields, parts);
    struct mongo_find f = {
        .from = MONGO_USERS, .filter = &filter, .fields = bson_empty(&fields) ? NULL : &fields};
    enum err e = mongo_db_find(&s->db, &f, &doc, &found, why);
    if (e == ERR_OK && found) {
        e = mongo_user_bson_read(user, &doc, parts, why);
        bson_destroy(&doc);
    }
    bson_destroy(&filter);
    bson_destroy(&fields);
    if (e == ERR_OK)
        s->user = user;
    else
        mongo_user_free(user);
    return e;
}

enum err mongo_users_know(struct mongo_store *s, struct tenant_id t, struct user_id u,
                          unsigned parts, struct err_text *why)
{
    if (is_this(s->user, t, u) && (s->user->loaded & parts) == parts)
        return ERR_OK;
    return mongo_users_read(s, t, u, parts, why);
}

/* What was found, into s->user. */
static enum err take(struct mongo_store *s, const bson_t *doc, struct err_text *why)
{
    struct mongo_key key;
    size_t tenant_len;
    TRY(mongo_user_bson_read_key(doc, &key, &tenant_len, why));
    const char *ids = (const char *)key.bytes + 1;
    struct tenant_id t = {{ids, tenant_len}};
    struct user_id u = {{ids + tenant_len, key.len - 1 - tenant_len}};
    s->user = mongo_user_new(t, u);
    return mongo_user_bson_read(s->user, doc, MONGO_ALL, why);
}

enum err mongo_users_find(struct mongo_store *s, const struct mongo_find *f, struct err_text *why)
{
    bson_t doc;
    bool found = false;
    mongo_users_forget(s);
    TRY(mongo_db_find(&s->db, f, &doc, &found, why));
    if (!found)
        return ERR_OK;
    enum err e = take(s, &doc, why);
    if (e != ERR_OK)
        mongo_users_forget(s);
    bson_destroy(&doc);
    return e;
}

/* A damaged document would be found for this field again and again: the field goes. */
static enum err pass_over(struct mongo_store *s, const bson_t *doc, const char *field,
                          struct err_text *why)
{
    bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER, child;
    bson_iter_t id;
    bool matched;
    if (!bson_iter_init_find(&id, doc, "_id") || !bson_append_iter(&filter, "_id", -1, &id))
        abort();
    mongo_put_begin(&update, "$unset", &child);
    mongo_put_bool(&child, field, true);
    mongo_put_end(&update, &child);
    struct mongo_change c = {.in = MONGO_USERS, .filter = &filter, .update = &update};
    enum mongo_end end = mongo_db_update(&s->db, &c, &matched, why);
    bson_destroy(&filter);
    bson_destroy(&update);
    return end == MONGO_DONE ? ERR_OK : mongo_db_failed(why);
}

enum err mongo_users_find_due(struct mongo_store *s, const struct mongo_find *f, const char *field,
                              struct err_text *why)
{
    enum err e = ERR_OK;
    mongo_users_forget(s);
    while (e == ERR_OK && s->user == NULL) {
        bson_t doc;
        bool found = false;
        TRY(mongo_db_find(&s->db, f, &doc, &found, why));
        if (!found)
            return ERR_OK;
        e = take(s, &doc, why);
        if (e == ERR_CORRUPT) {
            mongo_users_forget(s);
            e = pass_over(s, &doc, field, why);
        }
        bson_destroy(&doc);
    }
    return e;
}

/* ---- compare and set ----------------------------------------------------------------------- */

/* *mine: what was written is what is there. */
static enum mongo_end compare_and_set(struct mongo_store *s, struct mongo_user *user,
                                      const struct mongo_write_id *id, bool *mine,
                                      struct err_text *why)
{
    bson_t doc = BSON_INITIALIZER;
    enum mongo_end end;
    *mine = true;
    mongo_writes_note(&user->writes, id);
    if (user->version == 0) {
        mongo_user_bson_write_new(user, &doc);
        end = mongo_db_insert(&s->db, MONGO_USERS, &doc, why);
    } else {
        bson_t filter = BSON_INITIALIZER;
        mongo_put_bytes(&filter, "_id", user->key.bytes, user->key.len);
        mongo_put_int(&filter, F_VERSION, user->version);
        mongo_user_bson_write_changes(user, &doc);
        struct mongo_change c = {.in = MONGO_USERS, .filter = &filter, .update = &doc};
        end = mongo_db_update(&s->db, &c, mine, why);
        bson_destroy(&filter);
    }
    bson_destroy(&doc);
    user->version++;
    return end;
}

enum err mongo_users_change(struct mongo_store *s, struct tenant_id t, struct user_id u,
                            unsigned parts, mongo_user_change *change, void *args,
                            struct err_text *why)
{
    struct mongo_write_id id = mongo_writes_new_id();
    TRY(mongo_users_know(s, t, u, parts, why));
    for (;;) {
        bool mine = false;
        s->user->changed = 0;
        s->user->added = NULL;
        enum err e = change(s->user, args, why);
        if (e != ERR_OK) {
            mongo_users_forget(s);
            return e;
        }
        if (s->user->changed == 0)
            return ERR_OK;
        enum mongo_end end = compare_and_set(s, s->user, &id, &mine, why);
        if (end == MONGO_DONE && mine)
            return ERR_OK;
        int64_t tried = s->user->version;
        mongo_users_forget(s);
        if (end == MONGO_REFUSED || (end == MONGO_UNKNOWN && !mongo_db_may_retry(&s->db)))
            return mongo_db_failed(why);
        /* Somebody was quicker: until the majority has what he did, trying again is in vain. Of an
         * update, a duplicate says nothing. */
        bool was_late = end == MONGO_DONE || (end == MONGO_DUPLICATE && tried == 1);
        int64_t at_least = was_late ? tried : 0;
        do
            TRY(mongo_users_read(s, t, u, parts, why));
        while (s->user->version < at_least && mongo_db_may_retry(&s->db));
        if (mongo_writes_has(&s->user->writes, &id))
            return ERR_OK;
        if (mongo_db_now_ms() >= s->db.deadline_ms)
            return err_set(why, ERR_UNAVAILABLE, "STORE_BUSY", "too many change this user at once");
    }
}

/* ---- operations ---------------------------------------------------------------------------- */

enum err mongo_users_get(struct store *base, struct tenant_id t, struct user_id u, int64_t now_ms,
                         const struct lockout_rule *lockout, struct user_state *out,
                         struct err_text *why)
{
    struct mongo_store *s = mongo_store_of(base);
    struct attempt_play play;
    TRY(mongo_users_read(s, t, u, MONGO_HOT, why));
    const struct mongo_user *user = s->user;
    attempt_log_play(&user->attempts, lockout, mongo_user_own_id(user), &play);
    struct lock_state lock = lock_look(lockout, play.failures, play.last_attempt_ms, now_ms);
    *out = (struct user_state){.enrolled = user->has_own,
                               .pending = user->has_next && user->next.expire_ms > now_ms,
                               .next_generation = user->generation + 1,
                               .failures = play.failures,
                               .retry_after_ms = lock.retry_after_ms,
                               .locked_for_good = lock.for_good};
    attempt_log_play_release(&play);
    return ERR_OK;
}

enum err mongo_users_put_next(struct mongo_user *user, const struct factor *f, struct err_text *why)
{
    if (f->generation != user->generation + 1)
        return err_set(why, ERR_CONFLICT, NULL, "the user's next secret is number %u",
                       user->generation + 1);
    user->next = *f;
    user->next.replaces = user->has_own;
    user->has_next = true;
    user->generation = f->generation;
    user->changed |= MONGO_SECRETS;
    return ERR_OK;
}

static enum err put_pending(struct mongo_user *user, void *args, struct err_text *why)
{
    if (user->has_own)
        return err_set(why, ERR_EXISTS, NULL, "the user has a secret");
    return mongo_users_put_next(user, args, why);
}

enum err mongo_users_pending_put(struct store *base, struct tenant_id t, struct user_id u,
                                 const struct factor *f, struct err_text *why)
{
    struct factor copy = *f;
    return mongo_users_change(mongo_store_of(base), t, u, MONGO_ALL, put_pending, &copy, why);
}

enum err mongo_users_other_get(struct store *base, struct tenant_id t, struct user_id u,
                               const struct factor *right, struct factor *out, struct err_text *why)
{
    struct mongo_store *s = mongo_store_of(base);
    TRY(mongo_users_know(s, t, u, MONGO_HOT, why));
    bool pending = right->confirm_ms == 0;
    if (pending ? !s->user->has_own : !s->user->has_old)
        return err_set(why, ERR_NOT_FOUND, NULL, "the user has no such secret");
    *out = pending ? s->user->own : s->user->old;
    return ERR_OK;
}
