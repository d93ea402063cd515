/* SPDX-License-Identifier: ISC */
/* A mail thread whose source is standard input:
 *
 *   send_mail URL [user=… password=… ca_file=… templates=… timeout_ms=… plaintext]
 *
 * A line "mail KIND TO FROM NAME ISSUER LOCALE ID LINK DATE EXPIRE" is a mail: the words in
 * between are bytes in hexadecimal ("-": none), the last two milliseconds. A line "fail N" lets
 * the next N calls of the source fail. Standard output says "report END NUMBER ERROR" for each
 * end that the thread reports (mails count from 0), and "stopped ASKED" at the end of the input,
 * once the thread is gone; ASKED counts the calls. */
#include "base/mem.h"
#include "base/str.h"
#include "mail/message.h"
#include "mail/postman.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTE_WORDS 7

struct letter {
    struct letter *next;
    unsigned number;
    struct mail_message message;
    uint8_t *bytes[BYTE_WORDS];
};

static struct inbox {
    pthread_mutex_t lock;
    struct letter *first, **end; /* waiting; guarded by lock, like all below */
    struct letter *given;        /* the one that was given out last */
    unsigned fail, asked;
} inbox = {.lock = PTHREAD_MUTEX_INITIALIZER, .end = &inbox.first};

static void letter_free(struct letter *l)
{
    for (size_t i = 0; l != NULL && i < BYTE_WORDS; i++)
        free(l->bytes[i]);
    free(l);
}

static const char *end_name(enum mail_end end)
{
    return end == MAIL_DELIVERED ? "delivered" : end == MAIL_DEFERRED ? "deferred" : "refused";
}

static enum err answer(const struct mail_report *last, struct mail_message *out)
{
    inbox.asked++;
    if (inbox.fail > 0) {
        inbox.fail--;
        return ERR_UNAVAILABLE;
    }
    if (last != NULL) {
        printf("report %s %u %s\n", end_name(last->end), inbox.given->number, last->error);
        fflush(stdout);
    }
    letter_free(inbox.given);
    inbox.given = NULL;
    if (out == NULL)
        return ERR_OK;
    if (inbox.first == NULL)
        return ERR_NOT_FOUND;
    inbox.given = inbox.first;
    inbox.first = inbox.given->next;
    if (inbox.first == NULL)
        inbox.end = &inbox.first;
    *out = inbox.given->message;
    return ERR_OK;
}

static enum err next(void *ctx, const struct mail_report *last, struct mail_message *out,
                     struct err_text *why)
{
    (void)ctx;
    pthread_mutex_lock(&inbox.lock);
    enum err e = answer(last, out);
    pthread_mutex_unlock(&inbox.lock);
    return e == ERR_UNAVAILABLE ? err_set(why, e, NULL, "told to fail") : e;
}

static void die(const char *what)
{
    fprintf(stderr, "send_mail: %s\n", what);
    exit(2);
}

static const char *word(char **rest)
{
    const char *w = strsep(rest, " ");
    if (w == NULL)
        die("too few words");
    return w;
}

static struct str take_bytes(char **rest, uint8_t **kept)
{
    const char *w = word(rest);
    size_t n = strcmp(w, "-") == 0 ? 0 : strlen(w) / 2;
    *kept = mem_alloc(n + 1);
    if (n > 0 && !str_hex_decode(*kept, n, str_from(w)))
        die("not hexadecimal");
    return (struct str){(const char *)*kept, n};
}

static void add(char *rest)
{
    static unsigned number;
    struct letter *l = mem_zalloc(1, sizeof *l);
    l->number = number++;
    l->message.kind = (enum mail_kind)strtol(word(&rest), NULL, 10);
    struct str *parts[BYTE_WORDS] = {&l->message.to,     &l->message.from,   &l->message.from_name,
                                     &l->message.issuer, &l->message.locale, &l->message.message_id,
                                     &l->message.link};
    for (size_t i = 0; i < BYTE_WORDS; i++)
        *parts[i] = take_bytes(&rest, &l->bytes[i]);
    l->message.date_ms = strtoll(word(&rest), NULL, 10);
    l->message.expire_ms = strtoll(word(&rest), NULL, 10);
    pthread_mutex_lock(&inbox.lock);
    *inbox.end = l;
    inbox.end = &l->next;
    pthread_mutex_unlock(&inbox.lock);
}

static void serve(struct postman *p)
{
    char *line = NULL;
    size_t room = 0;
    for (ssize_t n; (n = getline(&line, &room, stdin)) > 0;) {
        line[n - 1] = '\0';
        char *rest = line;
        const char *what = word(&rest);
        if (strcmp(what, "mail") == 0) {
            add(rest);
        } else {
            pthread_mutex_lock(&inbox.lock);
            inbox.fail = (unsigned)strtoul(word(&rest), NULL, 10);
            pthread_mutex_unlock(&inbox.lock);
        }
        postman_wake(p);
    }
    free(line);
}

static bool takes(const char *arg, const char *name, const char **value)
{
    size_t n = strlen(name);
    if (strncmp(arg, name, n) != 0 || arg[n] != '=')
        return false;
    *value = arg + n + 1;
    return true;
}

int main(int argc, char **argv)
{
    struct postman_options opt = {
        .user = "", .password = "", .ca_file = "", .timeout_ms = 10000, .source = {.next = next}};
    const char *folder = NULL, *timeout = NULL;
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "plaintext") == 0)
            opt.allow_plaintext = true;
        else if (!takes(argv[i], "user", &opt.user) && !takes(argv[i], "password", &opt.password) &&
                 !takes(argv[i], "ca_file", &opt.ca_file) &&
                 !takes(argv[i], "templates", &folder) && !takes(argv[i], "timeout_ms", &timeout))
            die(argv[i]);
    }
    if (argc < 2)
        die("no URL");
    opt.url = argv[1];
    if (timeout != NULL)
        opt.timeout_ms = strtoll(timeout, NULL, 10);
    struct err_text why = {0};
    struct mail_templates *templates;
    struct postman *p;
    if (mail_templates_load(&templates, folder, &why) != ERR_OK)
        die(why.text);
    opt.templates = templates;
    if (postman_start(&p, &opt, &why) != ERR_OK)
        die(why.text);
    serve(p);
    postman_stop(p);
    printf("stopped %u\n", inbox.asked);
    letter_free(inbox.given);
    for (struct letter *l; (l = inbox.first) != NULL;) {
        inbox.first = l->next;
        letter_free(l);
    }
    mail_templates_free(templates);
    return EXIT_SUCCESS;
}
