/* SPDX-License-Identifier: ISC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/loop.h"
#include "rpc/callers.h"
#include "rpc/callers_internal.h"
#include "rpc/roster_internal.h"

#include <stdlib.h>
#include <string.h>

#define LOOPS 2

struct office {
    struct loop *loops[LOOPS];
    struct roster *roster;
    const struct callers *first;
};

static int setup(void **state)
{
    struct office *o = calloc(1, sizeof *o);
    for (int i = 0; i < LOOPS; i++) {
        assert_int_equal(loop_new(&o->loops[i], NULL), ERR_OK);
        assert_int_equal(loop_start(o->loops[i], NULL), ERR_OK);
    }
    struct callers *first = callers_local();
    o->first = first;
    o->roster = roster_new(o->loops, LOOPS, first);
    *state = o;
    return 0;
}

static int teardown(void **state)
{
    struct office *o = *state;
    for (int i = 0; i < LOOPS; i++) {
        loop_stop(o->loops[i]);
        loop_free(o->loops[i]);
    }
    roster_free(o->roster);
    free(o);
    return 0;
}

/* The loops have nothing else to do, so the test may stand in for them. */
static void every_loop_admits_by_the_new_ones(void **state)
{
    struct office *o = *state;
    for (size_t i = 0; i < LOOPS; i++)
        assert_ptr_equal(roster_callers(o->roster, i), o->first);
    struct callers *fresh = callers_local();
    roster_replace(o->roster, fresh);
    for (size_t i = 0; i < LOOPS; i++)
        assert_ptr_equal(roster_callers(o->roster, i), fresh);
}

/* The address sanitizer sees a caller that is freed too soon, the leak checker one that is not. */
static void a_call_keeps_its_caller(void **state)
{
    struct office *o = *state;
    struct roll *held[3] = {roster_hold(o->roster, 0), roster_hold(o->roster, 0),
                            roster_hold(o->roster, 1)};
    const struct caller *caller = callers_at(o->first, 0);
    for (int i = 0; i < 100; i++)
        roster_replace(o->roster, callers_local());
    roster_let_go(held[0]);
    roster_let_go(held[2]);
    assert_string_equal(caller->name, "local");
    roster_let_go(held[1]);
    assert_string_equal(callers_at(roster_callers(o->roster, 0), 0)->name, "local");
}

/* ---- what a file changes ---- */

struct seen {
    char text[256];
};

static void note(void *ctx, enum caller_change change, const char *name)
{
    static const char *const words[] = {" added ", " changed ", " removed "};
    struct seen *s = ctx;
    strcat(s->text, words[change]);
    strcat(s->text, name);
}

static const char *const everywhere[] = {"*"};
static const char *const two[] = {"a", "b"};

static struct entry entry(const char *name)
{
    return (struct entry){.caller = {.name = name,
                                     .id = name,
                                     .permissions = PERMISSION_POLICY,
                                     .tenants = everywhere,
                                     .n_tenants = 1}};
}

static void changes_are_told_by_name(void **state)
{
    (void)state;
    struct entry before[] = {entry("same"),   entry("gone"),  entry("id"),    entry("san"),
                             entry("rights"), entry("reach"), entry("secret")};
    struct entry after[] = {entry("new"),    entry("same"),  entry("id"),    entry("san"),
                            entry("rights"), entry("reach"), entry("secret")};
    after[2].caller.id = "other";
    after[3].caller.san = "spiffe://x";
    after[4].caller.permissions |= PERMISSION_ADMIN;
    after[5].caller.tenants = two;
    after[5].caller.n_tenants = 2;
    after[6].secret_hash[31] = 1;
    struct callers old = {.list = before, .n = sizeof before / sizeof before[0]};
    struct callers fresh = {.list = after, .n = sizeof after / sizeof after[0]};
    struct seen seen = {0};
    struct callers_visitor visitor = {.visit = note, .ctx = &seen};
    callers_compare(&old, &fresh, &visitor);
    assert_string_equal(seen.text, " added new changed id changed san changed rights"
                                   " changed reach changed secret removed gone");
    seen = (struct seen){0};
    callers_compare(&old, &old, &visitor);
    assert_string_equal(seen.text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_loop_admits_by_the_new_ones, setup, teardown),
        cmocka_unit_test_setup_teardown(a_call_keeps_its_caller, setup, teardown),
        cmocka_unit_test(changes_are_told_by_name),
    };
    return !!cmocka_run_group_tests(tests, NULL, NULL);
}
