/* SPDX-License-Identifier: ISC */
/* Makes the daemon's files and its memory fail when a test says so: preloaded, and told by the
 * page that TWOSTEP_TEST_FAULTS names: which calls on regular files fail with which errno (0:
 * none), and how many allocations are still granted (negative: all). */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

struct faults {
    _Atomic int32_t write_errno;
    _Atomic int32_t sync_errno;
    _Atomic int32_t read_errno;
    _Atomic int32_t allocations_left;
    _Atomic int32_t refuse_all; /* allocations: from the first refused one on, or that one only */
    _Atomic int32_t refused;    /* how many were */
};

static struct faults none = {.allocations_left = -1};
static struct faults *faults = &none;

__attribute__((constructor)) static void open_page(void)
{
    const char *path = getenv("TWOSTEP_TEST_FAULTS");
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *page = fd >= 0 ? mmap(NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                         : MAP_FAILED;
    if (page == MAP_FAILED)
        abort();
    faults = page;
}

static bool fails(int fd, int number)
{
    struct stat st;
    if (number == 0 || fd <= STDERR_FILENO || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return false;
    errno = number;
    return true;
}

#define NEXT(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *bytes, size_t n)
{
    return fails(fd, faults->write_errno) ? -1 : NEXT(write)(fd, bytes, n);
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at)
{
    return fails(fd, faults->write_errno) ? -1 : NEXT(pwrite)(fd, bytes, n, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t at)
{
    return fails(fd, faults->write_errno) ? -1 : NEXT(pwrite64)(fd, bytes, n, at);
}

ssize_t pread64(int fd, void *bytes, size_t n, off64_t at)
{
    return fails(fd, faults->read_errno) ? -1 : NEXT(pread64)(fd, bytes, n, at);
}

int fdatasync(int fd)
{
    return fails(fd, faults->sync_errno) ? -1 : NEXT(fdatasync)(fd);
}

int fsync(int fd)
{
    return fails(fd, faults->sync_errno) ? -1 : NEXT(fsync)(fd);
}

/* ---- memory: glibc's own, by the names that it keeps for this ------------------------------- */

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);

static bool is_refused(void)
{
    if (faults->allocations_left < 0)
        return false;
    if (atomic_fetch_sub(&faults->allocations_left, 1) > 0)
        return false;
    faults->allocations_left = faults->refuse_all ? 0 : -1;
    faults->refused++;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t n)
{
    return is_refused() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    return is_refused() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    return is_refused() ? NULL : __libc_realloc(p, n);
}
