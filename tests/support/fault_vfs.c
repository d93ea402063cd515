/* SPDX-License-Identifier: ISC */
#include "support/fault_vfs.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECTOR    512
#define FILES_MAX 16
#define NAME_MAX_ 512

/* A change that no sync has covered yet. */
struct change {
    struct change *next;
    bool lost; /* a failed sync was the last that it could have had */
    bool truncate;
    int64_t offset; /* of a truncate: the new size */
    int len;
    unsigned char bytes[];
};

/* A file by its name, open or not. */
struct image {
    char name[NAME_MAX_];
    bool watched;
    unsigned char *durable; /* what a power cut leaves for sure */
    int64_t size;
    struct change *first, **last;
    int64_t largest;
};

struct file {
    sqlite3_file base;
    struct image *image;
    sqlite3_file *real; /* behind this struct */
};

static sqlite3_vfs *real_vfs;
static sqlite3_vfs our_vfs;
static struct image images[FILES_MAX];
static struct fault_plan plan;
static unsigned count, syncs, struck;
static unsigned die_at; /* 0: not */
static bool watching;

/* ---- what is on the disk ----------------------------------------------------------------- */

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    abort();
}

static struct image *image_of(const char *name)
{
    for (int i = 0; i < FILES_MAX; i++) {
        if (images[i].name[0] == '\0')
            snprintf(images[i].name, sizeof images[i].name, "%s", name);
        if (strcmp(images[i].name, name) == 0)
            return &images[i];
    }
    abort();
}

static void forget_changes(struct image *m)
{
    for (struct change *c = m->first, *next; c != NULL; c = next) {
        next = c->next;
        free(c);
    }
    m->first = NULL;
    m->last = &m->first;
}

/* Starts from what is there. */
static void watch(struct image *m)
{
    if (m->watched)
        return;
    FILE *f = fopen(m->name, "r");
    m->watched = true;
    m->last = &m->first;
    m->size = 0;
    if (f == NULL)
        return;
    must(fseek(f, 0, SEEK_END) == 0, m->name);
    m->size = ftell(f);
    rewind(f);
    m->durable = realloc(m->durable, (size_t)m->size + 1);
    must(fread(m->durable, 1, (size_t)m->size, f) == (size_t)m->size, m->name);
    fclose(f);
}

static void note(struct image *m, bool truncate, int64_t offset, const void *bytes, int len)
{
    if (m == NULL || !m->watched)
        return;
    struct change *c = malloc(sizeof *c + (size_t)len);
    *c = (struct change){.truncate = truncate, .offset = offset, .len = len};
    if (len > 0)
        memcpy(c->bytes, bytes, (size_t)len);
    *m->last = c;
    m->last = &c->next;
}

static void resize(struct image *m, int64_t size)
{
    m->durable = realloc(m->durable, (size_t)size + 1);
    if (size > m->size)
        memset(m->durable + m->size, 0, (size_t)(size - m->size));
    m->size = size;
}

static void put(struct image *m, int64_t offset, const unsigned char *bytes, int len)
{
    if (offset + len > m->size)
        resize(m, offset + len);
    memcpy(m->durable + offset, bytes, (size_t)len);
}

static void apply(struct image *m, const struct change *c)
{
    if (c->truncate)
        resize(m, c->offset);
    else
        put(m, c->offset, c->bytes, c->len);
}

static bool overlap(const struct change *a, const struct change *b)
{
    if (a->truncate || b->truncate)
        return true;
    return a->offset < b->offset + b->len && b->offset < a->offset + a->len;
}

/* What a failed sync has lost may still be there after a power cut, or not, until something
 * newer in its place is on the disk. */
static bool may_still_be_there(const struct image *m, const struct change *lost)
{
    for (const struct change *c = lost->next; c != NULL; c = c->next)
        if (!c->lost && overlap(lost, c))
            return false;
    return m->watched;
}

static void synced(struct image *m)
{
    if (m == NULL || !m->watched)
        return;
    struct change *left = NULL, **end = &left;
    for (struct change *c = m->first, *next; c != NULL; c = next) {
        bool keep = c->lost && may_still_be_there(m, c);
        next = c->next;
        if (!c->lost)
            apply(m, c);
        if (!keep) {
            free(c);
            continue;
        }
        c->next = NULL;
        *end = c;
        end = &c->next;
    }
    m->first = left;
    m->last = left != NULL ? end : &m->first;
}

static void sync_failed(struct image *m)
{
    if (m == NULL || !m->watched)
        return;
    for (struct change *c = m->first; c != NULL; c = c->next)
        c->lost = true;
}

static uint64_t next_random(void)
{
    uint64_t z = (plan.seed += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    return z ^ (z >> 27);
}

/* A sector is there, or not, or (rarely) it is garbage. */
static void tear(struct image *m, const struct change *c, unsigned percent)
{
    if (c->truncate) {
        if (next_random() % 2 == 0)
            apply(m, c);
        return;
    }
    for (int done = 0; done < c->len;) {
        int n = SECTOR - (int)((c->offset + done) % SECTOR);
        n = n < c->len - done ? n : c->len - done;
        unsigned dice = (unsigned)(next_random() % 100);
        if (dice < percent)
            put(m, c->offset + done, c->bytes + done, n);
        else if (dice == 99)
            for (int i = 0; i < n; i++) {
                unsigned char garbage = (unsigned char)next_random();
                put(m, c->offset + done + i, &garbage, 1);
            }
        done += n;
    }
}

static void write_image(const struct image *m)
{
    if (access(m->name, F_OK) != 0) /* deleted */
        return;
    int fd = open(m->name, O_WRONLY | O_TRUNC);
    must(fd >= 0, m->name);
    must(write(fd, m->durable, (size_t)m->size) == m->size, m->name);
    close(fd);
}

static void power_cut(void)
{
    /* Sometimes nearly all got there, sometimes nearly nothing. */
    static const unsigned shares[] = {0, 10, 50, 90, 98};
    for (int i = 0; i < FILES_MAX; i++) {
        struct image *m = &images[i];
        if (!m->watched)
            continue;
        unsigned percent = shares[next_random() % (sizeof shares / sizeof shares[0])];
        for (const struct change *c = m->first; c != NULL; c = c->next)
            tear(m, c, percent);
        write_image(m);
    }
    _exit(FAULT_VFS_POWER);
}

/* ---- the plan ---------------------------------------------------------------------------- */

void fault_vfs_plan(const struct fault_plan *p)
{
    plan = p != NULL ? *p : (struct fault_plan){0};
    count = syncs = struck = die_at = 0;
    for (int i = 0; i < FILES_MAX; i++)
        images[i].largest = 0;
}

void fault_vfs_forget(void)
{
    for (int i = 0; i < FILES_MAX; i++) {
        forget_changes(&images[i]);
        free(images[i].durable);
        images[i] = (struct image){0};
    }
}

unsigned fault_vfs_count(void)
{
    return count;
}

unsigned fault_vfs_syncs(void)
{
    return syncs;
}

unsigned fault_vfs_struck(void)
{
    return struck;
}

void fault_vfs_watch(void)
{
    watching = true;
}

int64_t fault_vfs_largest(const char *suffix)
{
    for (int i = 0; i < FILES_MAX; i++) {
        size_t len = strlen(images[i].name);
        if (len >= strlen(suffix) && strcmp(images[i].name + len - strlen(suffix), suffix) == 0)
            return images[i].largest;
    }
    return 0;
}

bool fault_vfs_is_dead(void)
{
    return die_at != 0 && count >= die_at;
}

void fault_vfs_die(void)
{
    die_at = count > 0 ? count : 1;
}

/* Counts one operation: is it to fail? */
static bool fails(bool is_write)
{
    count++;
    if (fault_vfs_is_dead())
        return true;
    if (plan.power_at != 0 && count == plan.power_at)
        power_cut();
    unsigned n = plan.fail_n > 0 ? plan.fail_n : 1;
    bool due = plan.fail_at != 0 && count >= plan.fail_at && struck < n;
    if (!due || (plan.full && !is_write))
        return false;
    struck++;
    return true;
}

/* ---- SQLite's side ----------------------------------------------------------------------- */

static sqlite3_file *real_of(sqlite3_file *f)
{
    return ((struct file *)f)->real;
}

static struct image *image_of_file(sqlite3_file *f)
{
    return ((struct file *)f)->image;
}

static int x_close(sqlite3_file *f)
{
    return real_of(f)->pMethods->xClose(real_of(f));
}

static int x_read(sqlite3_file *f, void *bytes, int len, sqlite3_int64 offset)
{
    if (fails(false))
        return SQLITE_IOERR_READ;
    return real_of(f)->pMethods->xRead(real_of(f), bytes, len, offset);
}

static int x_write(sqlite3_file *f, const void *bytes, int len, sqlite3_int64 offset)
{
    struct image *m = image_of_file(f);
    bool bad = fails(true);
    int n = fault_vfs_is_dead() ? 0 : bad ? len / 2 : len;
    int rc = n > 0 ? real_of(f)->pMethods->xWrite(real_of(f), bytes, n, offset) : SQLITE_OK;
    if (n > 0)
        note(m, false, offset, bytes, n);
    if (m != NULL && offset + n > m->largest)
        m->largest = offset + n;
    if (bad)
        return plan.full ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    return rc;
}

static int x_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    if (fails(false))
        return SQLITE_IOERR_TRUNCATE;
    note(image_of_file(f), true, size, NULL, 0);
    return real_of(f)->pMethods->xTruncate(real_of(f), size);
}

/* The files themselves need no sync: a process that is killed loses nothing. */
static int x_sync(sqlite3_file *f, int flags)
{
    (void)flags;
    bool bad = fails(false);
    syncs++;
    if (fault_vfs_is_dead())
        return SQLITE_IOERR_FSYNC;
    if (bad || syncs == plan.fail_sync_at) {
        struck += !bad;
        if (!bad && plan.die_after != 0)
            die_at = count + plan.die_after;
        sync_failed(image_of_file(f));
        return SQLITE_IOERR_FSYNC;
    }
    synced(image_of_file(f));
    return SQLITE_OK;
}

static int x_file_size(sqlite3_file *f, sqlite3_int64 *out)
{
    return real_of(f)->pMethods->xFileSize(real_of(f), out);
}

static int x_lock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xLock(real_of(f), level);
}

static int x_unlock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xUnlock(real_of(f), level);
}

static int x_check_reserved(sqlite3_file *f, int *out)
{
    return real_of(f)->pMethods->xCheckReservedLock(real_of(f), out);
}

static int x_control(sqlite3_file *f, int op, void *arg)
{
    return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}

static int x_sector(sqlite3_file *f)
{
    return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int x_device(sqlite3_file *f)
{
    return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

/* Version 1: no shared memory, no mapping. */
static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = x_close,
    .xRead = x_read,
    .xWrite = x_write,
    .xTruncate = x_truncate,
    .xSync = x_sync,
    .xFileSize = x_file_size,
    .xLock = x_lock,
    .xUnlock = x_unlock,
    .xCheckReservedLock = x_check_reserved,
    .xFileControl = x_control,
    .xSectorSize = x_sector,
    .xDeviceCharacteristics = x_device,
};

static int x_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out_flags)
{
    struct file *file = (struct file *)f;
    (void)vfs;
    file->base.pMethods = NULL;
    file->real = (sqlite3_file *)(file + 1);
    if (fails(false))
        return SQLITE_CANTOPEN;
    int rc = real_vfs->xOpen(real_vfs, name, file->real, flags, out_flags);
    if (file->real->pMethods == NULL)
        return rc;
    file->base.pMethods = &methods;
    file->image = name != NULL ? image_of(name) : NULL;
    if (watching && file->image != NULL)
        watch(file->image);
    return rc;
}

static int x_delete(sqlite3_vfs *vfs, const char *name, int sync_folder)
{
    (void)vfs;
    if (fails(false))
        return SQLITE_IOERR_DELETE;
    struct image *m = image_of(name);
    forget_changes(m);
    m->size = 0;
    return real_vfs->xDelete(real_vfs, name, sync_folder);
}

void fault_vfs_install(void)
{
    real_vfs = sqlite3_vfs_find(NULL);
    our_vfs = *real_vfs;
    our_vfs.pNext = NULL;
    our_vfs.zName = "fault";
    our_vfs.szOsFile += (int)sizeof(struct file);
    our_vfs.xOpen = x_open;
    our_vfs.xDelete = x_delete;
    must(sqlite3_vfs_register(&our_vfs, 1) == SQLITE_OK, "sqlite3_vfs_register");
}
