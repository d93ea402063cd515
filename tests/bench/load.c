/* SPDX-License-Identifier: ISC */
/* Load for the benches of the API; every answer is counted by what it says.
 *
 *     load seed ADDRESS CLOCK SECRETS USERS       a policy, and USERS enrolled through the API
 *     load verify ADDRESS CLOCK SECRETS USERS     sign-ins with right codes
 *     load idle ADDRESS                           one health call on each connection, then
 *                                                 "ready", and waits for the end of its input
 *     load echo ADDRESS                           ECHO_CALLS calls that must bring back their bytes
 *     options: -c CONNECTIONS -m CALLS -s SECONDS -r (each Verify carries a request_id)
 *              -x (neighbours in time are no neighbours in the order of enrolment)
 *
 * CLOCK is the file that clock_daemon.c reads its time from. A user can sign in once a time
 * step, so when all have, the file is moved on by one step; a code that was under way then is
 * of the step before, which the policy's window allows. SECRETS has SECRET_LEN bytes a user.
 * A line of name=value for each work goes to standard output. */
#include "base/clock.h"
#include "base/mem.h"
#include "crypto/base32.h"
#include "crypto/random.h"
#include "crypto/secret.h"
#include "crypto/totp.h"
#include "support/calls.h"
#include "twostep/v1/twostep.pb-c.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SECRET_LEN 20
#define DIGITS     6
#define PERIOD     30
#define PERIOD_MS  (PERIOD * 1000)
#define NAME_CAP   32
#define ID_LEN     16
#define UUID_LEN   36
#define ECHO_CALLS 1000
#define TOLERATED  5
#define STRIDE     7919 /* a prime: every user has a turn, unless USERS is a multiple of it */

static struct {
    size_t connections, calls, users;
    double seconds;
    bool request_ids, scattered;
} opt = {.connections = 10, .calls = 32, .seconds = 5};

static _Atomic int64_t *wall_ms;
static uint8_t (*secrets)[SECRET_LEN];
static char (*enrollments)[UUID_LEN + 1]; /* by user, while they wait for their first code */
static int64_t stop_ms;
static size_t next_user, accepted, refused;

static void die(const char *what, const char *detail)
{
    fprintf(stderr, "load: %s: %s\n", what, detail);
    exit(EXIT_FAILURE);
}

static void must(enum err e, const struct err_text *why)
{
    if (e != ERR_OK)
        die(err_name(e), why->text);
}

static void *map_file(const char *path, size_t len, bool make)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | (make ? O_CREAT | O_TRUNC : 0), 0600);
    if (fd < 0 || (make && ftruncate(fd, (off_t)len) != 0))
        die(path, "cannot be opened");
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (p == MAP_FAILED)
        die(path, "cannot be mapped");
    return p;
}

/* ---- users and their codes
 * ------------------------------------------------------------------------ */

static char tenant[] = "bench";

static char *name_of(size_t user)
{
    static char name[NAME_CAP];
    snprintf(name, sizeof name, "user-%06zu", user);
    return name;
}

static char *code_of(size_t user)
{
    static char code[TOTP_DIGITS_MAX + 1];
    static struct secret *key;
    struct err_text why = {0};
    if (key == NULL)
        key = secret_new();
    secret_set(key, secrets[user], SECRET_LEN);
    must(totp_code(code, key, TOTP_SHA1, DIGITS, totp_step(atomic_load(wall_ms), PERIOD)), &why);
    return code;
}

static char *new_uuid(void)
{
    static char text[UUID_LEN + 1];
    uint8_t id[ID_LEN];
    char hex[2 * ID_LEN + 1];
    random_bytes(id, sizeof id);
    str_hex_encode(hex, id, sizeof id);
    snprintf(text, sizeof text, "%.8s-%.4s-4%.3s-8%.3s-%.12s", hex, hex + 8, hex + 13, hex + 17,
             hex + 20);
    return text;
}

/* ---- the works: requests
 * ---------------------------------------------------------------------------- */

static const ProtobufCMessage *next_policy(size_t *tag)
{
    static Twostep__V1__SetPolicyRequest m;
    static Twostep__V1__Policy policy;
    (void)tag;
    twostep__v1__set_policy_request__init(&m);
    twostep__v1__policy__init(&policy);
    policy.tenant_id = tenant;
    policy.enabled_presence_case = TWOSTEP__V1__POLICY__ENABLED_PRESENCE_ENABLED;
    policy.enabled = true;
    m.policy = &policy;
    return next_user++ == 0 ? &m.base : NULL;
}

static const ProtobufCMessage *next_enroll(size_t *tag)
{
    static Twostep__V1__EnrollRequest m;
    if (next_user == opt.users)
        return NULL;
    *tag = next_user++;
    twostep__v1__enroll_request__init(&m);
    m.tenant_id = tenant;
    m.user_id = name_of(*tag);
    m.channel = TWOSTEP__V1__CHANNEL__CHANNEL_WEB;
    m.password_verified = true;
    m.qr_format = TWOSTEP__V1__QR_FORMAT__QR_FORMAT_NONE;
    return &m.base;
}

static Twostep__V1__VerifyRequest *verify_of(size_t user)
{
    static Twostep__V1__VerifyRequest m;
    twostep__v1__verify_request__init(&m);
    m.tenant_id = tenant;
    m.user_id = name_of(user);
    m.channel = TWOSTEP__V1__CHANNEL__CHANNEL_WEB;
    m.password_verified = true;
    m.code = code_of(user);
    return &m;
}

static const ProtobufCMessage *next_confirm(size_t *tag)
{
    if (next_user == opt.users)
        return NULL;
    *tag = next_user++;
    Twostep__V1__VerifyRequest *m = verify_of(*tag);
    m->enrollment_id = enrollments[*tag];
    return &m->base;
}

static const ProtobufCMessage *next_verify(size_t *tag)
{
    if (clock_mono_ms(clock_system()) >= stop_ms)
        return NULL;
    if (next_user == opt.users) {
        next_user = 0;
        atomic_fetch_add(wall_ms, PERIOD_MS);
    }
    *tag = opt.scattered ? next_user * STRIDE % opt.users : next_user;
    next_user++;
    Twostep__V1__VerifyRequest *m = verify_of(*tag);
    if (opt.request_ids)
        m->request_id = new_uuid();
    return &m->base;
}

/* Without a field set it is the same bytes as a health request for the whole server. */
static const ProtobufCMessage *next_health(size_t *tag)
{
    static Twostep__V1__GetPolicyRequest empty;
    (void)tag;
    twostep__v1__get_policy_request__init(&empty);
    return &empty.base;
}

/* As bytes: 10, 30 and thirty times x, which is what minimal_h2.c answers. */
static const ProtobufCMessage *next_echo(size_t *tag)
{
    static char text[] = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    static Twostep__V1__GetPolicyRequest m;
    twostep__v1__get_policy_request__init(&m);
    m.tenant_id = text;
    *tag = next_user++;
    return *tag < ECHO_CALLS ? &m.base : NULL;
}

/* ---- the works: answers
 * ------------------------------------------------------------------------------ */

static void count(bool yes)
{
    accepted += yes;
    refused += !yes;
}

static void done_any(size_t tag, int status, const uint8_t *message, size_t len)
{
    (void)tag, (void)message, (void)len;
    count(status == 0);
}

static void done_enroll(size_t user, int status, const uint8_t *message, size_t len)
{
    Twostep__V1__EnrollResponse *m =
        status == 0 ? twostep__v1__enroll_response__unpack(NULL, len, message) : NULL;
    size_t n = 0;
    count(m != NULL && strlen(m->enrollment_id) <= UUID_LEN &&
          base32_decode(secrets[user], SECRET_LEN, &n, str_from(m->secret_base32)) == ERR_OK &&
          n == SECRET_LEN);
    if (m == NULL)
        return;
    snprintf(enrollments[user], sizeof enrollments[user], "%.*s", UUID_LEN, m->enrollment_id);
    twostep__v1__enroll_response__free_unpacked(m, NULL);
}

static void done_verify(size_t tag, int status, const uint8_t *message, size_t len)
{
    Twostep__V1__VerifyResponse *m =
        status == 0 ? twostep__v1__verify_response__unpack(NULL, len, message) : NULL;
    (void)tag;
    count(m != NULL && m->outcome == TWOSTEP__V1__VERIFY_OUTCOME__VERIFY_OUTCOME_ACCEPTED);
    if (m != NULL)
        twostep__v1__verify_response__free_unpacked(m, NULL);
}

static void done_echo(size_t tag, int status, const uint8_t *message, size_t len)
{
    static const char expected[] = "\n\036xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    (void)tag;
    count(status == 0 && len == sizeof expected - 1 && memcmp(message, expected, len) == 0);
}

#define SERVICE "/twostep.v1.TwoStepService/"
static const struct calls_work set_policy = {SERVICE "SetPolicy", next_policy, done_any, 0};
static const struct calls_work enroll = {SERVICE "Enroll", next_enroll, done_enroll, 0};
static const struct calls_work confirm = {SERVICE "Verify", next_confirm, done_verify, 0};
static const struct calls_work verify = {SERVICE "Verify", next_verify, done_verify, 0};
static const struct calls_work health = {"/grpc.health.v1.Health/Check", next_health, done_any, 1};
static const struct calls_work echo = {"/bench.Echo/Echo", next_echo, done_echo, 0};

static void run(const char *name, struct calls *calls, const struct calls_work *work)
{
    accepted = refused = next_user = 0;
    struct calls_times t = calls_run(calls, work);
    printf("work=%s accepted=%zu refused=%zu seconds=%.3f rate=%.0f p50_us=%u p99_us=%u\n", name,
           accepted, refused, t.seconds, (double)(accepted + refused) / t.seconds, t.p50_us,
           t.p99_us);
    fflush(stdout);
    /* Once in a million two neighbouring codes of a user are alike: then the first uses up the
     * second, which is refused as a replay, and rightly. */
    if (refused > (work == &verify ? TOLERATED : 0))
        die(name, "not every call was accepted");
}

/* ---- the command line
 * ------------------------------------------------------------------------------- */

static void map_files(char **args, bool make_secrets)
{
    wall_ms = map_file(args[2], sizeof *wall_ms, false);
    opt.users = strtoul(args[4], NULL, 10);
    secrets = map_file(args[3], opt.users * SECRET_LEN, make_secrets);
}

static void seed(struct calls *calls, char **args)
{
    map_files(args, true);
    enrollments = mem_zalloc(opt.users, sizeof *enrollments);
    run("policy", calls, &set_policy);
    run("enroll", calls, &enroll);
    run("confirm", calls, &confirm);
}

static void sign_in(struct calls *calls, char **args)
{
    map_files(args, false);
    atomic_fetch_add(wall_ms, PERIOD_MS); /* the users' last codes may be of this step */
    stop_ms = clock_mono_ms(clock_system()) + (int64_t)(opt.seconds * 1000);
    run("verify", calls, &verify);
}

static void check_echo(struct calls *calls, char **args)
{
    (void)args;
    run("echo", calls, &echo);
}

static void stay_idle(struct calls *calls, char **args)
{
    (void)args;
    run("idle", calls, &health);
    puts("ready");
    fflush(stdout);
    while (getchar() != EOF) {
    }
}

/* What the first argument may be, and how many there are then. */
static const struct command {
    const char *name;
    int n_args;
    void (*run)(struct calls *calls, char **args);
} commands[] = {
    {"seed", 5, seed}, {"verify", 5, sign_in}, {"idle", 2, stay_idle}, {"echo", 2, check_echo}};

static _Noreturn void usage(void)
{
    fputs("usage: load [-c CONNECTIONS] [-m CALLS] [-s SECONDS] [-r] [-x]\n"
          "            seed|verify ADDRESS CLOCK SECRETS USERS | idle|echo ADDRESS\n",
          stderr);
    exit(64);
}

static void parse(int argc, char **argv)
{
    for (int c; (c = getopt(argc, argv, "c:m:s:rx")) != -1;) {
        if (c == 'c')
            opt.connections = strtoul(optarg, NULL, 10);
        else if (c == 'm')
            opt.calls = strtoul(optarg, NULL, 10);
        else if (c == 's')
            opt.seconds = strtod(optarg, NULL);
        else if (c == 'r')
            opt.request_ids = true;
        else if (c == 'x')
            opt.scattered = true;
        else
            usage();
    }
}

int main(int argc, char **argv)
{
    struct err_text why = {0};
    parse(argc, argv);
    char **args = argv + optind;
    const struct command *command = NULL;
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (argc - optind == commands[i].n_args && strcmp(args[0], commands[i].name) == 0)
            command = &commands[i];
    if (command == NULL)
        usage();
    must(secret_init(&why), &why);
    must(totp_init(&why), &why);
    command->run(calls_open(args[1], opt.connections, opt.calls), args);
    return EXIT_SUCCESS;
}
