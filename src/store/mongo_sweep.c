/* SPDX-License-Identifier: ISC */
#include "mongo_limits_internal.h"
#include "mongo_put_internal.h"
#include "mongo_user_bson_internal.h"

struct sweeping {
    int64_t now_ms;
    uint32_t limit;
    uint32_t n;    /* things that are deleted of this user */
    bool is_empty; /* nothing is left */
};

static void drop_resets(struct mongo_user *user, struct sweeping *w)
{
    size_t kept = 0;
    for (size_t i = 0; i < user->n_resets; i++) {
        bool old = user->resets[i].status.expire_ms + RESET_KEEP_MS <= w->now_ms;
        if (old && w->n < w->limit)
            w->n++;
        else
            user->resets[kept++] = user->resets[i];
    }
    user->n_resets = kept;
}

static enum err sweep_user(struct mongo_user *user, void *args, struct err_text *why)
{
    struct sweeping *w = args;
    (void)why;
    w->n = 0;
    if (user->has_next && user->next.expire_ms <= w->now_ms) {
        user->has_next = false;
        w->n++;
    }
    drop_resets(user, w);
    int64_t next = mongo_user_sweep_ms(user);
    w->is_empty = mongo_user_is_empty(user) && next != 0 && next <= w->now_ms;
    /* Written even when nothing goes: it says when to look again. */
    if (!w->is_empty)
        user->changed |= MONGO_SECRETS | MONGO_RESETS;
    return ERR_OK;
}

static enum err delete_user(struct mongo_store *s, struct err_text *why)
{
    bson_t filter = BSON_INITIALIZER;
    int64_t n;
    mongo_put_bytes(&filter, "_id", s->user->key.bytes, s->user->key.len);
    mongo_put_int(&filter, F_VERSION, s->user->version);
    enum mongo_end end = mongo_db_delete(&s->db, MONGO_USERS, &filter, false, &n, why);
    bson_destroy(&filter);
    mongo_users_forget(s);
    return end == MONGO_DONE ? ERR_OK : mongo_db_failed(why);
}

enum err mongo_sweep(struct store *base, int64_t now_ms, uint32_t limit, uint32_t *n_out,
                     struct err_text *why)
{
    struct mongo_store *s = mongo_store_of(base);
    struct sweeping w = {.now_ms = now_ms};
    bson_t filter = BSON_INITIALIZER;
    enum err e = ERR_OK;
    *n_out = 0;
    mongo_put_op_int(&filter, F_SWEEP, "$lte", now_ms);
    struct mongo_find f = {.from = MONGO_USERS, .filter = &filter};
    while (e == ERR_OK && *n_out < limit && mongo_db_now_ms() < s->db.deadline_ms) {
        e = mongo_users_find_due(s, &f, F_SWEEP, why);
        if (e != ERR_OK || s->user == NULL)
            break;
        w.limit = limit - *n_out;
        struct mongo_key key = s->user->key;
        e = mongo_users_change(s, mongo_user_tenant(&key), mongo_user_id(&key), MONGO_ALL,
                               sweep_user, &w, why);
        *n_out += w.n;
        if (e == ERR_OK && w.is_empty)
            e = delete_user(s, why);
    }
    bson_destroy(&filter);
    return e == ERR_OK ? mongo_limits_sweep(s, now_ms, why) : e;
}
