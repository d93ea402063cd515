/* SPDX-License-Identifier: ISC */
#include "roster_internal.h"

#include "base/loop.h"
#include "base/mem.h"
#include "rpc/callers.h"

#include <stdatomic.h>
#include <stdlib.h>

/* One file's callers, for all loops. */
struct edition {
    struct callers *callers;
    _Atomic size_t rolls;
};

/* An edition as one loop has it. Freed when it is not current and no call is left. */
struct roll {
    struct edition *edition;
    size_t calls;
    bool current;
};

struct roster {
    struct place {
        struct loop *loop;
        struct roll *roll;  /* the current one. Thread: the loop */
        struct roll *fresh; /* for the loop to take */
    } * places;
    size_t n;
};

static struct roll *roll_new(struct edition *edition)
{
    struct roll *roll = mem_zalloc(1, sizeof *roll);
    *roll = (struct roll){.edition = edition, .current = true};
    return roll;
}

static void roll_free(struct roll *roll)
{
    struct edition *edition = roll->edition;
    free(roll);
    if (atomic_fetch_sub(&edition->rolls, 1) > 1)
        return;
    callers_free(edition->callers);
    free(edition);
}

static struct edition *edition_new(struct callers *callers, size_t rolls)
{
    struct edition *edition = mem_zalloc(1, sizeof *edition);
    edition->callers = callers;
    atomic_init(&edition->rolls, rolls);
    return edition;
}

struct roster *roster_new(struct loop *const *loops, size_t n_loops, struct callers *callers)
{
    struct roster *r = mem_zalloc(1, sizeof *r);
    struct edition *edition = edition_new(callers, n_loops);
    r->n = n_loops;
    r->places = mem_zalloc(n_loops, sizeof *r->places);
    for (size_t i = 0; i < n_loops; i++)
        r->places[i] = (struct place){.loop = loops[i], .roll = roll_new(edition)};
    return r;
}

void roster_free(struct roster *r)
{
    for (size_t i = 0; i < r->n; i++)
        roll_free(r->places[i].roll);
    free(r->places);
    free(r);
}

static void take_fresh(void *ctx)
{
    struct place *place = ctx;
    struct roll *last = place->roll;
    place->roll = place->fresh;
    last->current = false;
    if (last->calls == 0)
        roll_free(last);
}

void roster_replace(struct roster *r, struct callers *fresh)
{
    struct edition *edition = edition_new(fresh, r->n);
    for (size_t i = 0; i < r->n; i++) {
        r->places[i].fresh = roll_new(edition);
        loop_call(r->places[i].loop, take_fresh, &r->places[i]);
    }
}

const struct callers *roster_callers(const struct roster *r, size_t loop)
{
    return r->places[loop].roll->edition->callers;
}

struct roll *roster_hold(struct roster *r, size_t loop)
{
    struct roll *roll = r->places[loop].roll;
    roll->calls++;
    return roll;
}

void roster_let_go(struct roll *roll)
{
    if (--roll->calls == 0 && !roll->current)
        roll_free(roll);
}
