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

struct mail_kit {
    struct postman_options options; /* its texts are the next ones */
    char *url, *user, *ca_file;
    struct mail_templates *templates;
    struct secret *password; /* terminated */
};

struct mailroom {
    struct mail_kit *kit;    /* until the postman has it */
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

static void release_kit(void *kit)
{
    mailroom_free_kit(kit);
}

static enum err fill_kit(struct mail_kit *kit, const struct settings *set, struct err_text *why)
{
    const char *folder = set->template_dir[0] != '\0' ? set->template_dir : NULL;
    TRY(mail_templates_load(&kit->templates, folder, why));
    TRY(password_read(&kit->password, set->smtp_password_file, why));
    kit->url = mem_strdup(set->smtp_url);
    kit->user = mem_strdup(set->smtp_user);
    kit->ca_file = mem_strdup(set->smtp_ca_file);
    const char *password = password_text(kit->password);
    kit->options = (struct postman_options){
        .url = kit->url,
        .user = kit->user,
        .password = password != NULL ? password : "",
        .ca_file = kit->ca_file,
        .allow_plaintext = set->smtp_allow_plaintext,
        .timeout_ms = set->smtp_timeout_seconds * 1000,
        .templates = kit->templates,
        .done = release_kit,
        .done_ctx = kit,
    };
    return postman_check(&kit->options, why);
}

enum err mailroom_read_kit(struct mail_kit **out, const struct settings *set, struct err_text *why)
{
    struct mail_kit *kit = mem_zalloc(1, sizeof *kit);
    enum err e = fill_kit(kit, set, why);
    if (e == ERR_OK)
        *out = kit;
    else
        mailroom_free_kit(kit);
    return e;
}

void mailroom_free_kit(struct mail_kit *kit)
{
    if (kit == NULL)
        return;
    secret_free(kit->password);
    mail_templates_free(kit->templates);
    free(kit->url);
    free(kit->user);
    free(kit->ca_file);
    free(kit);
}

struct mailroom *mailroom_new(struct mail_kit *kit)
{
    struct mailroom *room = mem_zalloc(1, sizeof *room);
    room->kit = kit;
    pthread_mutex_init(&room->lock, NULL);
    pthread_cond_init(&room->answered, NULL);
    return room;
}

void mailroom_free(struct mailroom *m)
{
    if (m == NULL)
        return;
    outbox_parcel_wipe(&m->parcel);
    mailroom_free_kit(m->kit);
    pthread_cond_destroy(&m->answered);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

static void give_source(struct mailroom *m, struct mail_kit *kit)
{
    kit->options.source = (struct postman_source){.next = next, .ctx = m};
}

enum err mailroom_start(struct mailroom *m, struct executor *executor, struct loop *home,
                        struct err_text *why)
{
    m->executor = executor;
    m->home = home;
    give_source(m, m->kit);
    struct postman *postman;
    TRY(postman_start(&postman, &m->kit->options, why));
    m->kit = NULL;
    pthread_mutex_lock(&m->lock);
    m->postman = postman;
    pthread_mutex_unlock(&m->lock);
    return ERR_OK;
}

void mailroom_change(struct mailroom *m, struct mail_kit *kit)
{
    give_source(m, kit);
    postman_change(m->postman, &kit->options);
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
