/* SPDX-License-Identifier: ISC */
#include "mailroom_internal.h"

#include "base/mem.h"
#include "crypto/secret.h"
#include "daemon/settings.h"
#include "domain/outbox.h"
#include "mail/postman.h"
#include "password_internal.h"
#include "rpc/executor.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct mailroom {
    const struct settings *set;
    struct mail_templates *templates;
    struct secret *password; /* terminated */
    struct postman *postman; /* guarded by lock */
    struct executor *executor;
    struct loop *home;
    struct outbox_parcel parcel; /* the mail that the mail thread has; its own between turns */
    pthread_mutex_t lock;
    pthread_cond_t answered;
};

/* One question of the mail thread, on its way through the executor while that waits. */
struct turn {
    struct work work; /* first */
    struct mailroom *room;
    const struct outbox_report *report; /* NULL: the next mail is asked for */
    bool answered;                      /* guarded by room->lock */
};

static enum err decide(struct work *w, struct domain *d, struct err_text *why)
{
    struct turn *turn = (struct turn *)w;
    return turn->report != NULL ? outbox_report(d, turn->report, why)
                                : outbox_lease(d, &turn->room->parcel, why);
}

static void answer(struct loop_task *task)
{
    struct turn *turn = (struct turn *)task;
    struct mailroom *room = turn->room;
    pthread_mutex_lock(&room->lock);
    turn->answered = true;
    pthread_cond_signal(&room->answered);
    pthread_mutex_unlock(&room->lock);
}

static enum err ask(struct mailroom *room, const struct outbox_report *report, struct err_text *why)
{
    struct turn turn = {.work = {.task.run = answer, .home = room->home, .decide = decide},
                        .room = room,
                        .report = report};
    struct queue_list one = QUEUE_LIST_INIT(one);
    queue_list_append(&one, &turn.work.task.item);
    executor_submit(room->executor, &one);
    if (one.count > 0)
        return err_set(why, ERR_LIMIT, NULL, "too many calls are waiting");
    pthread_mutex_lock(&room->lock);
    while (!turn.answered)
        pthread_cond_wait(&room->answered, &room->lock);
    pthread_mutex_unlock(&room->lock);
    *why = turn.work.why;
    return turn.work.result;
}

static enum outbox_end end_of(enum mail_end end)
{
    switch (end) {
    case MAIL_DELIVERED:
        return OUTBOX_SENT;
    case MAIL_DEFERRED:
        return OUTBOX_DEFERRED;
    case MAIL_REFUSED:
        return OUTBOX_FAILED;
    }
    return OUTBOX_DEFERRED;
}

static struct mail_message message_of(const struct outbox_parcel *p)
{
    const struct mail *m = &p->leased.mail;
    return (struct mail_message){
        .kind = m->kind,
        .to = str_from(m->address),
        .from = str_from(p->from),
        .from_name = str_from(p->from_name),
        .issuer = str_from(p->issuer),
        .locale = str_from(m->locale),
        .message_id = str_from(p->message_id),
        .link = str_from(p->link),
        .date_ms = m->create_ms,
        .expire_ms = m->expire_ms,
    };
}

/* Two jobs, so that what cannot be leased does not undo what was reported. */
static enum err next(void *ctx, const struct mail_report *last, struct mail_message *out,
                     struct err_text *why)
{
    struct mailroom *room = ctx;
    if (last != NULL && room->parcel.leased.mail.id != 0) {
        struct outbox_report report = {
            .parcel = &room->parcel, .end = end_of(last->end), .error = last->error};
        TRY(ask(room, &report, why));
    }
    outbox_parcel_wipe(&room->parcel);
    if (out == NULL)
        return ERR_OK;
    enum err e = ask(room, NULL, why);
    if (e != ERR_OK)
        outbox_parcel_wipe(&room->parcel);
    TRY(e);
    if (room->parcel.leased.mail.id == 0)
        return ERR_NOT_FOUND;
    *out = message_of(&room->parcel);
    return ERR_OK;
}

enum err mailroom_new(struct mailroom **out, const struct settings *set, struct err_text *why)
{
    struct mailroom *room = mem_zalloc(1, sizeof *room);
    room->set = set;
    pthread_mutex_init(&room->lock, NULL);
    pthread_cond_init(&room->answered, NULL);
    const char *folder = set->template_dir[0] != '\0' ? set->template_dir : NULL;
    enum err e = mail_templates_load(&room->templates, folder, why);
    if (e == ERR_OK)
        e = password_read(&room->password, set->smtp_password_file, why);
    if (e != ERR_OK) {
        mailroom_free(room);
        return e;
    }
    *out = room;
    return ERR_OK;
}

void mailroom_free(struct mailroom *m)
{
    if (m == NULL)
        return;
    outbox_parcel_wipe(&m->parcel);
    secret_free(m->password);
    mail_templates_free(m->templates);
    pthread_cond_destroy(&m->answered);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

enum err mailroom_start(struct mailroom *m, struct executor *executor, struct loop *home,
                        struct err_text *why)
{
    const char *password = password_text(m->password);
    m->executor = executor;
    m->home = home;
    struct postman_options opt = {
        .url = m->set->smtp_url,
        .user = m->set->smtp_user,
        .password = password != NULL ? password : "",
        .ca_file = m->set->smtp_ca_file,
        .allow_plaintext = m->set->smtp_allow_plaintext,
        .timeout_ms = m->set->smtp_timeout_seconds * 1000,
        .templates = m->templates,
        .source = {.next = next, .ctx = m},
    };
    struct postman *postman;
    TRY(postman_start(&postman, &opt, why));
    pthread_mutex_lock(&m->lock);
    m->postman = postman;
    pthread_mutex_unlock(&m->lock);
    return ERR_OK;
}

void mailroom_stop(struct mailroom *m)
{
    if (m == NULL)
        return;
    /* Loops may still say that there is a new mail. */
    pthread_mutex_lock(&m->lock);
    struct postman *postman = m->postman;
    m->postman = NULL;
    pthread_mutex_unlock(&m->lock);
    postman_stop(postman);
}

void mailroom_wake(void *ctx)
{
    struct mailroom *room = ctx;
    if (room == NULL)
        return;
    pthread_mutex_lock(&room->lock);
    if (room->postman != NULL)
        postman_wake(room->postman);
    pthread_mutex_unlock(&room->lock);
}
