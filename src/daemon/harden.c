/* SPDX-License-Identifier: ISC */
#include "harden_internal.h"

#include "base/buf.h"
#include "base/mem.h"
#include "daemon/settings.h"
#include "store/store_mongo.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than the header that may be there. */
#define ACCESS_TRUNCATE    (UINT64_C(1) << 14)
#define ABI_WITH_REFER     2
#define ABI_WITH_TRUNCATE  3
#define ACCESS_OF_ABI_1    ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)
#define ACCESS_READ_FOLDER (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define ACCESS_WRITE_FILE  (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE)
#define ACCESS_WRITE_FOLDER                                                                        \
    (ACCESS_READ_FOLDER | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |            \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | ACCESS_TRUNCATE)
#define ACCESS_SOCKET_FOLDER                                                                       \
    (ACCESS_READ_FOLDER | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REMOVE_FILE)

static const char on[] = "on";

/* ---- files -------------------------------------------------------------------------------------
 */

/* Names, certificates and time zones come from there, and what libraries load as they need it. The
 * files in /etc are replaced by renaming, so a rule for each of them would not hold. */
static const char *const system_folders[] = {
    "/etc",
    "/usr",
    "/lib",
    "/lib64",
    "/proc",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager",
};
static const char *const system_files[] = {"/dev/null", "/dev/urandom", "/dev/random"};

struct ruleset {
    int fd;
    uint64_t handled;
};

/* What is not there needs no rule. */
static void allow(const struct ruleset *rules, const char *path, uint64_t access)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return;
    struct landlock_path_beneath_attr rule = {.allowed_access = access & rules->handled,
                                              .parent_fd = fd};
    (void)syscall(SYS_landlock_add_rule, rules->fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    close(fd);
}

static void allow_folder_of(const struct ruleset *rules, const char *path, uint64_t access)
{
    char *copy = mem_strdup(path);
    allow(rules, dirname(copy), access);
    free(copy);
}

/* The folder that the file is in, and the one that it is a link to: files are replaced there. */
static void allow_file(const struct ruleset *rules, const char *path, uint64_t access)
{
    if (path == NULL || path[0] == '\0')
        return;
    allow_folder_of(rules, path, access);
    char *target = realpath(path, NULL);
    if (target != NULL)
        allow_folder_of(rules, target, access);
    free(target);
}

static void allow_unix_sockets(const struct ruleset *rules, const char *listen)
{
    static const char scheme[] = "unix:";
    for (const char *at = listen; (at = strstr(at, scheme)) != NULL;) {
        at += strlen(scheme);
        char *path = mem_strdup(at);
        path[strcspn(path, " ,\t\r\n")] = '\0';
        allow_folder_of(rules, path, ACCESS_SOCKET_FOLDER);
        free(path);
    }
}

static void allow_mongo(const struct ruleset *rules, const char *uri)
{
    for (size_t i = 0; i < STORE_MONGO_FILES; i++) {
        char *file = store_mongo_file(uri, i);
        allow_file(rules, file, ACCESS_READ_FOLDER);
        free(file);
    }
}

static void allow_settings(const struct ruleset *rules, const char *config_file,
                           const struct settings *set)
{
    const char *const files[] = {
        config_file,        set->keyring_file,       set->callers_file,
        set->tls_cert_file, set->tls_key_file,       set->tls_client_ca_file,
        set->smtp_ca_file,  set->smtp_password_file, set->store_password_file,
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        allow_file(rules, files[i], ACCESS_READ_FOLDER);
    if (set->template_dir[0] != '\0')
        allow(rules, set->template_dir, ACCESS_READ_FOLDER);
    allow_unix_sockets(rules, set->listen);
    const char *database = settings_sqlite_path(set);
    if (database == NULL) {
        allow_mongo(rules, set->store);
        return;
    }
    (void)mkdir(set->state_dir, S_IRWXU); /* the store says what is wrong with it */
    allow_file(rules, database, ACCESS_WRITE_FOLDER);
}

static void allow_system(const struct ruleset *rules)
{
    for (size_t i = 0; i < sizeof system_folders / sizeof system_folders[0]; i++)
        allow(rules, system_folders[i], ACCESS_READ_FOLDER);
    for (size_t i = 0; i < sizeof system_files / sizeof system_files[0]; i++)
        allow(rules, system_files[i], ACCESS_WRITE_FILE);
}

static uint64_t handled_by(long abi)
{
    uint64_t handled = ACCESS_OF_ABI_1;
    if (abi >= ABI_WITH_REFER)
        handled |= LANDLOCK_ACCESS_FS_REFER;
    if (abi >= ABI_WITH_TRUNCATE)
        handled |= ACCESS_TRUNCATE;
    return handled;
}

static const char *restrict_files(const char *config_file, const struct settings *set)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1)
        return "not in this kernel";
    struct ruleset rules = {.handled = handled_by(abi)};
    struct landlock_ruleset_attr attr = {.handled_access_fs = rules.handled};
    rules.fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
    if (rules.fd < 0)
        return "refused by the kernel";
    allow_settings(&rules, config_file, set);
    allow_system(&rules);
    long failed = syscall(SYS_landlock_restrict_self, rules.fd, 0);
    close(rules.fd);
    return failed ? "refused by the kernel" : on;
}

enum err harden_files(const char *config_file, const struct settings *set, struct hardened *out,
                      struct err_text *why)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return err_set(why, ERR_INTERNAL, NULL, "no_new_privs: %s", strerror(errno));
    out->landlock = HARDEN_SANITIZED ? HARDEN_SANITIZED_TEXT : restrict_files(config_file, set);
    return ERR_OK;
}

/* ---- capabilities ------------------------------------------------------------------------------
 */

static bool has_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct has[_LINUX_CAPABILITY_U32S_3] = {0};
    if (syscall(SYS_capget, &header, has) != 0)
        return true;
    for (size_t i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
        if ((has[i].effective | has[i].permitted | has[i].inheritable) != 0)
            return true;
    return false;
}

enum err harden_drop_capabilities(struct err_text *why)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (!has_capabilities())
        return ERR_OK;
    if (syscall(SYS_capset, &header, none) != 0)
        return err_set(why, ERR_INTERNAL, NULL, "capabilities: %s", strerror(errno));
    return ERR_OK;
}

struct harden_helper {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t news;
    bool go; /* guarded by lock, as the next two; run is set before it */
    void (*run)(void *ctx);
    void *ctx;
};

static void *helper_main(void *arg)
{
    struct harden_helper *h = arg;
    pthread_mutex_lock(&h->lock);
    while (!h->go)
        pthread_cond_wait(&h->news, &h->lock);
    pthread_mutex_unlock(&h->lock);
    if (h->run != NULL)
        h->run(h->ctx);
    return NULL;
}

enum err harden_helper_start(struct harden_helper **out, struct err_text *why)
{
    struct harden_helper *h = mem_zalloc(1, sizeof *h);
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->news, NULL);
    if (pthread_create(&h->thread, NULL, helper_main, h) != 0) {
        free(h);
        return err_set(why, ERR_UNAVAILABLE, NULL, "cannot start a thread");
    }
    *out = h;
    return ERR_OK;
}

void harden_helper_end(struct harden_helper *h, void (*run)(void *ctx), void *ctx)
{
    if (h == NULL)
        return;
    pthread_mutex_lock(&h->lock);
    h->run = run;
    h->ctx = ctx;
    h->go = true;
    pthread_cond_signal(&h->news);
    pthread_mutex_unlock(&h->lock);
    pthread_join(h->thread, NULL);
    pthread_cond_destroy(&h->news);
    pthread_mutex_destroy(&h->lock);
    free(h);
}
