/* SPDX-License-Identifier: ISC */
#include "mongo_user_internal.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

struct mongo_key mongo_user_key(struct tenant_id t, struct user_id u)
{
    struct mongo_key key = {.bytes = {(uint8_t)t.s.len}};
    if (t.s.len > ID_MAX || u.s.len > ID_MAX)
        abort();
    if (t.s.len > 0)
        memcpy(key.bytes + 1, t.s.p, t.s.len);
    if (u.s.len > 0)
        memcpy(key.bytes + 1 + t.s.len, u.s.p, u.s.len);
    key.len = 1 + t.s.len + u.s.len;
    return key;
}

struct tenant_id mongo_user_tenant(const struct mongo_key *key)
{
    return (struct tenant_id){{(const char *)key->bytes + 1, key->bytes[0]}};
}

struct user_id mongo_user_id(const struct mongo_key *key)
{
    size_t at = 1 + (size_t)key->bytes[0];
    return (struct user_id){{(const char *)key->bytes + at, key->len - at}};
}

struct mongo_user *mongo_user_new(struct tenant_id t, struct user_id u)
{
    struct mongo_user *user = mem_zalloc(1, sizeof *user);
    user->key = mongo_user_key(t, u);
    user->last_step = -1;
    user->loaded = MONGO_ALL;
    return user;
}

void mongo_user_release(struct mongo_user *user)
{
    attempt_log_release(&user->attempts);
    free(user->resets);
    free(user->mails);
}

void mongo_user_free(struct mongo_user *user)
{
    if (user == NULL)
        return;
    mongo_user_release(user);
    free(user);
}

struct mongo_reset *mongo_user_add_reset(struct mongo_user *user)
{
    if (user->n_resets == user->cap_resets) {
        user->cap_resets = 2 * user->cap_resets + 2;
        user->resets = mem_realloc(user->resets, user->cap_resets * sizeof *user->resets);
    }
    struct mongo_reset *r = &user->resets[user->n_resets++];
    *r = (struct mongo_reset){0};
    return r;
}

struct mail *mongo_user_add_mail(struct mongo_user *user)
{
    if (user->n_mails == user->cap_mails) {
        user->cap_mails = 2 * user->cap_mails + 2;
        user->mails = mem_realloc(user->mails, user->cap_mails * sizeof *user->mails);
    }
    struct mail *m = &user->mails[user->n_mails++];
    *m = (struct mail){0};
    return m;
}

void mongo_user_drop_mail(struct mongo_user *user, size_t i)
{
    for (user->n_mails--; i < user->n_mails; i++)
        user->mails[i] = user->mails[i + 1];
}

static void sooner(int64_t *when, int64_t ms)
{
    if (*when == 0 || ms < *when)
        *when = ms;
}

bool mongo_user_is_empty(const struct mongo_user *user)
{
    return user->generation == 0 && user->n_resets == 0 && user->n_mails == 0;
}

int64_t mongo_user_sweep_ms(const struct mongo_user *user)
{
    int64_t when = 0;
    if (user->has_next)
        sooner(&when, user->next.expire_ms);
    for (size_t i = 0; i < user->n_resets; i++)
        sooner(&when, user->resets[i].status.expire_ms + RESET_KEEP_MS);
    if (mongo_user_is_empty(user) && user->attempts.n > 0)
        sooner(&when,
               user->attempts.entries[user->attempts.n - 1].time_ms + MONGO_STRANGER_KEEP_MS);
    return when;
}

const struct factor *mongo_user_factor(const struct mongo_user *user,
                                       const struct enrollment_id *id, int64_t now_ms)
{
    if (user->has_own && str_equal_bytes(id->bytes, user->own.enrollment.bytes, ENROLLMENT_ID_LEN))
        return &user->own;
    if (user->has_next && user->next.expire_ms > now_ms &&
        str_equal_bytes(id->bytes, user->next.enrollment.bytes, ENROLLMENT_ID_LEN))
        return &user->next;
    return NULL;
}
