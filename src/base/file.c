/* SPDX-License-Identifier: ISC */
#include "base/file.h"

#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPEN_TO_OTHERS (S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH)
/* In the name of a file that is not in its place yet. */
#define RANDOM_LEN 6
#define OWNER_ONLY (S_IRUSR | S_IWUSR)

/* The last system call on path failed: what that means. */
static enum err failed(struct err_text *why, const char *path, const char *doing)
{
    int number = errno;
    enum err e = ERR_UNAVAILABLE;
    if (number == ENOENT || number == ENOTDIR)
        e = ERR_NOT_FOUND;
    else if (number == EACCES || number == EPERM)
        e = ERR_DENIED;
    else if (number == EEXIST)
        e = ERR_EXISTS;
    return err_set(why, e, NULL, "%.120s: cannot %s: %s", path, doing, strerror(number));
}

/* The mode of the open file, so that it cannot be another one by the time it is read. */
static enum err check_private(int fd, const char *path, struct err_text *why)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return failed(why, path, "look at it");
    if (!S_ISREG(st.st_mode))
        return err_set(why, ERR_DENIED, NULL, "%.120s: not a regular file", path);
    if ((st.st_mode & OPEN_TO_OTHERS) != 0)
        return err_set(why, ERR_DENIED, NULL,
                       "%.120s: mode %04o lets others in, it must be 0600 or stricter", path,
                       (unsigned)(st.st_mode & 07777));
    return ERR_OK;
}

static enum err open_private(int *fd_out, const char *path, struct err_text *why)
{
    /* O_NONBLOCK: opening a FIFO must not wait for its other end. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return failed(why, path, "open it");
    enum err e = check_private(fd, path, why);
    if (e == ERR_OK)
        *fd_out = fd;
    else
        close(fd);
    return e;
}

enum err file_check_private(const char *path, struct err_text *why)
{
    int fd = -1;
    TRY(open_private(&fd, path, why));
    close(fd);
    return ERR_OK;
}

static ssize_t read_some(int fd, uint8_t *bytes, size_t n)
{
    ssize_t got;
    do
        got = read(fd, bytes, n);
    while (got < 0 && errno == EINTR);
    return got;
}

static enum err read_all(int fd, const char *path, uint8_t *bytes, size_t cap, size_t *len_out,
                         struct err_text *why)
{
    size_t len = 0;
    uint8_t beyond;
    for (;;) {
        ssize_t got = len < cap ? read_some(fd, bytes + len, cap - len) : read_some(fd, &beyond, 1);
        if (got < 0)
            return failed(why, path, "read it");
        if (got == 0)
            break;
        if (len == cap)
            return err_set(why, ERR_LIMIT, NULL, "%.120s: larger than %zu bytes", path, cap);
        len += (size_t)got;
    }
    *len_out = len;
    return ERR_OK;
}

enum err file_read_private(const char *path, uint8_t *bytes, size_t cap, size_t *len_out,
                           struct err_text *why)
{
    int fd = -1;
    TRY(open_private(&fd, path, why));
    enum err e = read_all(fd, path, bytes, cap, len_out, why);
    close(fd);
    return e;
}

static bool write_all(int fd, const uint8_t *bytes, size_t n)
{
    while (n > 0) {
        ssize_t put = write(fd, bytes, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return false;
        bytes += put;
        n -= (size_t)put;
    }
    return true;
}

/* Fills the new file and gets it onto the disk. Closes fd. */
static enum err fill(int fd, const char *path, const uint8_t *bytes, size_t n, struct err_text *why)
{
    enum err e = ERR_OK;
    if (fchmod(fd, OWNER_ONLY) != 0 || !write_all(fd, bytes, n) || fsync(fd) != 0)
        e = failed(why, path, "write it");
    if (close(fd) != 0 && e == ERR_OK)
        e = failed(why, path, "write it");
    return e;
}

static enum err open_folder(int *fd_out, const char *path, struct err_text *why)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash == NULL ? mem_strdup(".") : mem_strdup(path);
    if (slash != NULL)
        folder[slash == path ? 1 : slash - path] = '\0';
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum err e = ERR_OK;
    if (fd < 0)
        e = failed(why, folder, "open the folder");
    else
        *fd_out = fd;
    free(folder);
    return e;
}

static enum err sync_folder(const char *path, struct err_text *why)
{
    int fd = -1;
    TRY(open_folder(&fd, path, why));
    enum err e = fsync(fd) == 0 ? ERR_OK : failed(why, path, "sync the folder of");
    close(fd);
    return e;
}

/* A new name is given by link, which never replaces; rename always does. */
static enum err move_into_place(const char *temporary, const char *path, bool create_only,
                                struct err_text *why)
{
    if (!create_only)
        return rename(temporary, path) == 0 ? ERR_OK : failed(why, path, "replace it");
    if (link(temporary, path) != 0)
        return failed(why, path, "create it");
    unlink(temporary);
    return ERR_OK;
}

/* A file of a daemon's user that root changes stays that user's: the new one gets the owner of
 * the one that it replaces, or else of the folder. Only root may do that. */
static enum err give_to_owner(int fd, const char *path, struct err_text *why)
{
    struct stat owner;
    if (geteuid() != 0)
        return ERR_OK;
    if (stat(path, &owner) != 0) {
        char *folder = mem_strdup(path);
        char *slash = strrchr(folder, '/');
        if (slash != NULL)
            slash[slash == folder] = '\0';
        int result = stat(slash != NULL ? folder : ".", &owner);
        free(folder);
        if (result != 0)
            return failed(why, path, "look at its folder");
    }
    return fchown(fd, owner.st_uid, owner.st_gid) == 0 ? ERR_OK
                                                       : failed(why, path, "give it to its owner");
}

enum err file_write_private(const char *path, const uint8_t *bytes, size_t n, bool create_only,
                            struct err_text *why)
{
    size_t len = strlen(path);
    char *temporary = mem_alloc(len + 1 + RANDOM_LEN + 1);
    memcpy(temporary, path, len);
    temporary[len] = '.';
    memset(temporary + len + 1, 'X', RANDOM_LEN); /* mkostemp's place for it */
    temporary[len + 1 + RANDOM_LEN] = '\0';

    enum err e;
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) {
        e = failed(why, path, "make a new file beside it");
        goto out;
    }
    e = give_to_owner(fd, path, why);
    if (e == ERR_OK)
        e = fill(fd, path, bytes, n, why);
    else
        close(fd);
    if (e == ERR_OK)
        e = move_into_place(temporary, path, create_only, why);
    if (e != ERR_OK)
        unlink(temporary);
    else
        e = sync_folder(path, why);
out:
    free(temporary);
    return e;
}

enum err file_lock_folder(int *fd_out, const char *path, struct err_text *why)
{
    int fd = -1;
    TRY(open_folder(&fd, path, why));
    while (flock(fd, LOCK_EX) != 0) {
        if (errno == EINTR)
            continue;
        enum err e = failed(why, path, "lock the folder of");
        close(fd);
        return e;
    }
    *fd_out = fd;
    return ERR_OK;
}
