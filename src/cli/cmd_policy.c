/* SPDX-License-Identifier: ISC */
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "cli/arg_internal.h"
#include "cli/cli_internal.h"
#include "cli/human_internal.h"
#include "cli/names_internal.h"
#include "cli/remote_internal.h"
#include "cli/term_internal.h"
#include "twostep/v1/twostep.pb-c.h"

#define MOMENTS_CAP 4096 /* for the times and durations of one command */

/* ---- what a policy says ------------------------------------------------------------------ */

static void show_time(const char *label, const Google__Protobuf__Timestamp *t, const char *more)
{
    char text[HUMAN_MAX];
    if (t == NULL)
        return;
    human_time(text, t);
    term_field(label, "%s%s%s", text, *more == '\0' ? "" : " ", more);
}

static void show_duration(const char *label, const Google__Protobuf__Duration *d)
{
    char text[HUMAN_MAX];
    if (d == NULL)
        return;
    human_duration(text, d);
    term_field(label, "%s", text);
}

static void show_text(const char *label, const char *text)
{
    if (*text != '\0')
        term_field(label, "%s", text);
}

static void show(const Twostep__V1__Policy *p)
{
    term_field("tenant", "%s", p->tenant_id);
    if (p->revision == 0)
        term_field("revision", "0: no policy was set, these are the defaults");
    else
        term_field("revision", "%lld", (long long)p->revision);
    term_field("two-step", "%s", p->enabled ? "on" : "off");
    term_field("mobile app", "%s", p->mobile ? "on" : "off");
    show_time("suspended until", p->suspended_until, p->suspended_reason);
    show_text("issuer", p->issuer);
    term_field("codes", "%s, %u digits",
               names_short(&twostep__v1__algorithm__descriptor, (int)p->algorithm), p->digits);
    show_duration("period", p->period);
    term_field("window", "%u step%s early or late", p->window_steps,
               p->window_steps == 1 ? "" : "s");
    show_duration("enrolment waits", p->enrollment_lifetime);
    show_duration("reset link waits", p->reset_lifetime);
    show_text("reset link", p->reset_link);
    show_text("mail from", p->mail_from);
    show_text("mail from name", p->mail_from_name);
    show_text("language", p->locale);
    show_time("changed", p->update_time, p->updated_by);
}

/* The policy that both methods answer with. */
static enum cli_exit finish(const struct cli_options *options, struct remote_answer *answer,
                            const Twostep__V1__Policy *policy)
{
    enum cli_exit exit_code = CLI_DONE;
    if (options->json) {
        exit_code = remote_print_json(answer);
    } else if (policy == NULL) {
        term_problem("the answer has no policy in it");
        exit_code = CLI_UNDECIDED;
    } else {
        show(policy);
    }
    remote_answer_release(answer);
    return exit_code;
}

/* ---- get ----------------------------------------------------------------------------------- */

struct get_args {
    struct cli_options *options;
    char *tenant;
};

static error_t parse_get(int key, char *arg, struct argp_state *state)
{
    struct get_args *a = state->input;
    if (key == ARGP_KEY_INIT) {
        state->child_inputs[0] = a->options;
        return 0;
    }
    return arg_positional(key, arg, state, &a->tenant, 1, 1);
}

static enum cli_exit run_get(struct cli_options *options, int argc, char **argv)
{
    static const struct argp argp = {
        .parser = parse_get,
        .args_doc = "TENANT",
        .doc = "Shows a tenant's policy.",
        .children = cli_children,
    };
    struct get_args a = {.options = options};
    argp_parse(&argp, argc, argv, 0, NULL, &a);

    Twostep__V1__GetPolicyRequest request;
    twostep__v1__get_policy_request__init(&request);
    request.tenant_id = a.tenant;
    struct remote_answer answer;
    enum cli_exit exit_code = remote_call(
        &answer, options, &twostep__v1__two_step_service__descriptor, "GetPolicy", &request.base);
    if (exit_code != CLI_DONE)
        return exit_code;
    return finish(options, &answer,
                  ((const Twostep__V1__GetPolicyResponse *)answer.message)->policy);
}

/* ---- set ----------------------------------------------------------------------------------- */

/* An option that sets a field of the policy is called as the field, with dashes; its key is
 * KEY_FIELDS and its place in the table. */
enum { KEY_FIELDS = 0x100, KEY_REVISION = 0x200, KEY_REASON, KEY_ON_BEHALF_OF };

#define FIELD(i, name, arg, flags, doc)                                                            \
    {                                                                                              \
        name, KEY_FIELDS + (i), arg, flags, doc, 1                                                 \
    }

static const struct argp_option set_options[] = {
    {0, 0, 0, 0, "The policy (an empty value, as in --issuer=, is the default again):", 1},
    FIELD(1, "enabled", "yes|no", OPTION_ARG_OPTIONAL, "Two-step verification on or off"),
    FIELD(2, "mobile", "yes|no", OPTION_ARG_OPTIONAL, "For the mobile app, too"),
    FIELD(3, "suspended-until", "WHEN", 0, "Ask for no code until then: RFC 3339, +2h or none"),
    FIELD(4, "suspended-reason", "TEXT", 0, "Why"),
    FIELD(5, "issuer", "NAME", 0, "The name that an authenticator app shows"),
    FIELD(6, "algorithm", "NAME", 0, "SHA1, SHA256 or SHA512, for new secrets"),
    FIELD(7, "digits", "N", 0, "6 or 8, for new secrets"),
    FIELD(8, "period", "TIME", 0, "The time step, for new secrets"),
    FIELD(9, "window-steps", "N", 0, "How many steps early or late a code may be: 0 to 2"),
    FIELD(10, "enrollment-lifetime", "TIME", 0, "How long a new secret waits for its first code"),
    FIELD(11, "reset-lifetime", "TIME", 0, "How long a mailed link is good for"),
    FIELD(12, "reset-link", "URL", 0, "The page behind a mailed link, with {token} in it"),
    FIELD(13, "mail-from", "MAIL", 0, "The sender's address of mails"),
    FIELD(14, "mail-from-name", "NAME", 0, "The sender's name of mails"),
    FIELD(15, "locale", "LANG", 0, "The language of mails: en, nl or de"),
    {0, 0, 0, 0, "The change:", 2},
    {"expected-revision", KEY_REVISION, "N", 0, "Fail when the policy has another revision", 2},
    {"reason", KEY_REASON, "TEXT", 0, "Why, for the audit log", 2},
    {"on-behalf-of", KEY_ON_BEHALF_OF, "WHO", 0, "The person behind the change", 2},
    {0},
};
#define N_FIELDS (sizeof set_options / sizeof set_options[0])

struct set_args {
    struct cli_options *options;
    char *tenant;
    struct arena *arena;
    const ProtobufCFieldDescriptor *mask[N_FIELDS];
    size_t n_mask;
    Twostep__V1__Policy policy;
    Twostep__V1__SetPolicyRequest request;
};

/* The field that an option sets. */
static const ProtobufCFieldDescriptor *field_of(const char *option)
{
    struct buf name = BUF_INIT;
    for (const char *p = option; *p != '\0'; p++)
        buf_append_byte(&name, (uint8_t)(*p == '-' ? '_' : *p));
    buf_append_byte(&name, '\0');
    const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field_by_name(
        &twostep__v1__policy__descriptor, (const char *)name.data);
    buf_release(&name);
    return f;
}

static Google__Protobuf__Timestamp *timestamp(struct arena *arena, int64_t unix_ms)
{
    Google__Protobuf__Timestamp *t = arena_alloc(arena, sizeof *t);
    google__protobuf__timestamp__init(t);
    t->seconds = unix_ms / 1000;
    t->nanos = (int32_t)(unix_ms % 1000) * 1000000;
    return t;
}

static Google__Protobuf__Duration *duration(struct arena *arena, int64_t ms)
{
    Google__Protobuf__Duration *d = arena_alloc(arena, sizeof *d);
    google__protobuf__duration__init(d);
    d->seconds = ms / 1000;
    d->nanos = (int32_t)(ms % 1000) * 1000000;
    return d;
}

/* A Timestamp or Duration; NULL when text is none. */
static ProtobufCMessage *moment(struct arena *arena, const ProtobufCFieldDescriptor *f,
                                const char *text)
{
    int64_t ms;
    if (f->descriptor == &google__protobuf__timestamp__descriptor)
        return arg_time(text, clock_wall_ms(clock_system()), &ms) ? &timestamp(arena, ms)->base
                                                                  : NULL;
    return arg_duration(text, &ms) ? &duration(arena, ms)->base : NULL;
}

/* Puts text into the field; false when it is no value of that kind. */
static bool set_value(struct set_args *a, const ProtobufCFieldDescriptor *f, char *text)
{
    char *member = (char *)&a->policy + f->offset;
    bool on;
    uint64_t number;
    if (f->type == PROTOBUF_C_TYPE_STRING) {
        *(char **)(void *)member = text;
    } else if (f->type == PROTOBUF_C_TYPE_BOOL) {
        if (!arg_bool(text, &on))
            return false;
        *(protobuf_c_boolean *)(void *)member = on;
    } else if (f->type == PROTOBUF_C_TYPE_UINT32) {
        if (!arg_number(text, UINT32_MAX, &number))
            return false;
        *(uint32_t *)(void *)member = (uint32_t)number;
    } else if (f->type == PROTOBUF_C_TYPE_ENUM) {
        if (!names_parse(f->descriptor, text, (int *)(void *)member))
            return false;
    } else {
        ProtobufCMessage *message = moment(a->arena, f, text);
        if (message == NULL)
            return false;
        *(ProtobufCMessage **)(void *)member = message;
    }
    if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0)
        *(uint32_t *)(void *)((char *)&a->policy + f->quantifier_offset) = f->id;
    return true;
}

static void set_field(struct set_args *a, const struct argp_option *option, char *text,
                      const struct argp_state *state)
{
    const ProtobufCFieldDescriptor *f = field_of(option->name);
    for (size_t i = 0; i < a->n_mask; i++)
        if (a->mask[i] == f)
            argp_error(state, "--%s is given twice", option->name);
    a->mask[a->n_mask++] = f;
    bool is_default =
        *text == '\0' || (f->type == PROTOBUF_C_TYPE_MESSAGE && strcmp(text, "none") == 0);
    if (!is_default && !set_value(a, f, text))
        argp_error(state, "--%s: expects %s, not '%s'", option->name, option->arg, text);
}

static error_t parse_set(int key, char *arg, struct argp_state *state)
{
    static char yes[] = "yes";
    struct set_args *a = state->input;
    uint64_t revision;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = a->options;
        return 0;
    case KEY_REVISION:
        if (!arg_number(arg, INT64_MAX, &revision) || revision == 0)
            argp_error(state, "--expected-revision: a number from 1 on");
        a->request.expected_revision = (int64_t)revision;
        return 0;
    case KEY_REASON:
        a->request.reason = arg;
        return 0;
    case KEY_ON_BEHALF_OF:
        a->request.on_behalf_of = arg;
        return 0;
    case ARGP_KEY_SUCCESS:
        if (a->n_mask == 0)
            argp_error(state, "nothing to set: name a field, such as --enabled");
        return 0;
    default:
        if (key > KEY_FIELDS && key < KEY_FIELDS + (int)N_FIELDS) {
            set_field(a, &set_options[key - KEY_FIELDS], arg == NULL ? yes : arg, state);
            return 0;
        }
        return arg_positional(key, arg, state, &a->tenant, 1, 1);
    }
}

static enum cli_exit set_policy(struct set_args *a)
{
    char *paths[N_FIELDS];
    for (size_t i = 0; i < a->n_mask; i++)
        paths[i] = (char *)(uintptr_t)a->mask[i]->name;
    Google__Protobuf__FieldMask mask;
    google__protobuf__field_mask__init(&mask);
    mask.n_paths = a->n_mask;
    mask.paths = paths;
    a->policy.tenant_id = a->tenant;
    a->request.policy = &a->policy;
    a->request.update_mask = &mask;

    struct remote_answer answer;
    enum cli_exit exit_code =
        remote_call(&answer, a->options, &twostep__v1__two_step_service__descriptor, "SetPolicy",
                    &a->request.base);
    if (exit_code != CLI_DONE)
        return exit_code;
    return finish(a->options, &answer,
                  ((const Twostep__V1__SetPolicyResponse *)answer.message)->policy);
}

static enum cli_exit run_set(struct cli_options *options, int argc, char **argv)
{
    static const struct argp argp = {
        .options = set_options,
        .parser = parse_set,
        .args_doc = "TENANT",
        .doc = "Changes the named fields of a tenant's policy and shows what it is then. It holds "
               "for all users of the tenant from their next sign-in on.",
        .children = cli_children,
    };
    struct set_args a = {.options = options, .arena = arena_new(MOMENTS_CAP)};
    twostep__v1__policy__init(&a.policy);
    twostep__v1__set_policy_request__init(&a.request);
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    enum cli_exit exit_code = set_policy(&a);
    arena_free(a.arena);
    return exit_code;
}

static const struct command get = {
    .name = "get", .summary = "Show a tenant's policy", .run = run_get};
static const struct command set = {
    .name = "set", .summary = "Change a tenant's policy", .run = run_set};

const struct command cmd_policy = {
    .name = "policy",
    .summary = "Shows and changes the policies of tenants.",
    .subs = (const struct command *const[]){&get, &set, NULL},
};
