/* SPDX-License-Identifier: ISC */
#ifndef SUPPORT_FAULT_VFS_H
#define SUPPORT_FAULT_VFS_H

/* A layer between SQLite and the files that fails when it is told to, and that knows what of
 * a file would be left after a power cut. For the whole process, one thread. */

#include <stdbool.h>
#include <stdint.h>

/* Operations are counted from 1: open, read, write, truncate, sync, delete. 0: never. */
struct fault_plan {
    unsigned fail_at; /* this one fails; a write is half done then */
    unsigned fail_n;  /* and so many in all, one after another (0 as 1) */
    bool full;        /* as on a full disk: writes only */

    /* The n-th sync fails, and what was written before never gets onto the disk by another
     * sync, only by being written again (that is how Linux does it). */
    unsigned fail_sync_at;

    /* So many operations after the failed sync the process is as good as killed: nothing that
     * it does reaches the files any more, until the next plan. 0: it lives. */
    unsigned die_after;

    /* Before this one the power goes: the process ends with _exit(FAULT_VFS_POWER), and the
     * files are as a disk may have them: what was synced, and of everything after some
     * sectors, some not, some garbage, as the seed says. Only with fault_vfs_watch. */
    unsigned power_at;
    uint64_t seed;
};
#define FAULT_VFS_POWER 55

/* Makes it the process's files. Before anything is opened. */
void fault_vfs_install(void);

/* Forgets all files; none may be open. */
void fault_vfs_forget(void);

/* Starts to count anew, with this plan (NULL: nothing fails). */
void fault_vfs_plan(const struct fault_plan *plan);
unsigned fault_vfs_count(void);
unsigned fault_vfs_syncs(void);
/* How many have failed as planned. */
unsigned fault_vfs_struck(void);
bool fault_vfs_is_dead(void);
/* As good as killed from now on. */
void fault_vfs_die(void);

/* From now on every file that is opened is watched: keeps a copy of it. */
void fault_vfs_watch(void);

/* The largest that a file whose name ends so has been since fault_vfs_plan. */
int64_t fault_vfs_largest(const char *suffix);

#endif
