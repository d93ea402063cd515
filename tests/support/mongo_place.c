/* SPDX-License-Identifier: ISC */
#include "support/mongo_place.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PEER     "build/peers/mongo"
#define REAL_URI "TWOSTEP_TEST_MONGODB_URI"

static char java_uri[64]; /* empty: not started */
static pid_t java_pid;

static void stop_java(void)
{
    kill(java_pid, SIGKILL);
    waitpid(java_pid, NULL, 0);
}

static void run_java(int out)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(out, STDOUT_FILENO);
    execlp("java", "java", "-Xmx512m", "-XX:+UseSerialGC", "-cp", PEER ":" PEER "/lib/*",
           "Launcher", (char *)NULL);
    _exit(127);
}

static bool start_java(void)
{
    int pipe_fds[2], in[2];
    char line[64];
    int port = 0;
    if (pipe(pipe_fds) != 0 || pipe(in) != 0)
        abort();
    java_pid = fork();
    if (java_pid == 0) {
        dup2(in[0], STDIN_FILENO);
        run_java(pipe_fds[1]);
    }
    close(pipe_fds[1]);
    close(in[0]); /* its standard input stays open until this program ends */
    FILE *said = fdopen(pipe_fds[0], "r");
    bool ok = fgets(line, sizeof line, said) != NULL && sscanf(line, "listening %d", &port) == 1;
    fclose(said);
    if (!ok) {
        stop_java();
        return false;
    }
    atexit(stop_java);
    snprintf(java_uri, sizeof java_uri, "mongodb://127.0.0.1:%d/", port);
    return true;
}

bool mongo_server_start(enum mongo_server which, const char **why)
{
    if (which == MONGO_SERVER_REAL) {
        *why = REAL_URI " names no server";
        return getenv(REAL_URI) != NULL;
    }
    *why = "mongo-java-server is not installed";
    if (access(PEER "/installed", F_OK) != 0)
        return false;
    *why = "mongo-java-server does not start";
    return java_uri[0] != '\0' || start_java();
}

/* The server's URI with a database of its own: what may follow the host stays. */
static void write_uri(struct mongo_place *p, const char *server)
{
    static unsigned count;
    const char *hosts = strstr(server, "://");
    const char *slash = hosts != NULL ? strchr(hosts + 3, '/') : NULL;
    const char *options = strchr(server, '?');
    const char *end = slash != NULL ? slash : options != NULL ? options : server + strlen(server);
    snprintf(p->uri, sizeof p->uri, "%.*s/twostep_test_%d_%u%s", (int)(end - server), server,
             (int)getpid(), count++, options != NULL ? options : "");
}

struct mongo *mongo_place_open(const struct mongo_place *p, uint32_t n_stores)
{
    struct mongo *m;
    struct err_text why = {0};
    struct mongo_options opt = {
        .uri = p->uri, .development = p->which == MONGO_SERVER_JAVA, .n_stores = n_stores};
    if (store_mongo_open(&m, &opt, &why) == ERR_OK)
        return m;
    fprintf(stderr, "%s\n", why.text);
    abort();
}

void mongo_place_init(struct mongo_place *p, enum mongo_server which)
{
    *p = (struct mongo_place){.which = which};
    write_uri(p, which == MONGO_SERVER_JAVA ? java_uri : getenv(REAL_URI));
}

void mongo_place_release(struct mongo_place *p)
{
    store_mongo_close(p->mongo);
}

static struct store *open_place(struct mongo_place *p)
{
    p->mongo = mongo_place_open(p, 1);
    return store_mongo_new(p->mongo);
}

static struct store *make(enum mongo_server which, void **place)
{
    struct mongo_place *p = malloc(sizeof *p);
    mongo_place_init(p, which);
    *place = p;
    return open_place(p);
}

static struct store *make_java(void **place)
{
    return make(MONGO_SERVER_JAVA, place);
}

static struct store *make_real(void **place)
{
    return make(MONGO_SERVER_REAL, place);
}

static struct store *reopen(void *place, struct store *s)
{
    struct mongo_place *p = place;
    s->ops->close(s);
    store_mongo_close(p->mongo);
    return open_place(p);
}

static void destroy(void *place, struct store *s)
{
    s->ops->close(s);
    mongo_place_release(place);
    free(place);
}

const struct store_kind mongo_java_kind = {.name = "mongo-java-server",
                                           .shared = true,
                                           .make = make_java,
                                           .reopen = reopen,
                                           .destroy = destroy};
const struct store_kind mongo_real_kind = {
    .name = "mongodb", .shared = true, .make = make_real, .reopen = reopen, .destroy = destroy};
