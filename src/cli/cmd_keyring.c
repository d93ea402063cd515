/* SPDX-License-Identifier: ISC */
#include "cli/arg_internal.h"
#include "cli/cli_internal.h"
#include "cli/proto_json_internal.h"
#include "cli/term_internal.h"
#include "crypto/keyring.h"

struct keyring_args {
    struct cli_options *options;
    char *file;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct keyring_args *a = state->input;
    if (key == ARGP_KEY_INIT) {
        state->child_inputs[0] = a->options;
        return 0;
    }
    return arg_positional(key, arg, state, &a->file, 1, 1);
}

static const char *parse_file(struct cli_options *options, int argc, char **argv, const char *doc)
{
    const struct argp argp = {
        .parser = parse, .args_doc = "FILE", .doc = doc, .children = cli_children};
    struct keyring_args a = {.options = options};
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    return a.file;
}

static enum cli_exit run_init(struct cli_options *options, int argc, char **argv)
{
    const char *file = parse_file(options, argc, argv,
                                  "Makes a keyring with one new key, mode 0600. A file that is "
                                  "there is never overwritten.");
    struct err_text why = {0};
    if (keyring_create(file, &why) != ERR_OK) {
        term_problem("%s", why.text);
        return CLI_UNDECIDED;
    }
    if (options->json)
        proto_json_print(json_pack("{s:i}", "id", 1));
    else
        term_field("made", "%s; keep a copy apart: without it nothing that it sealed opens again",
                   file);
    return CLI_DONE;
}

static enum cli_exit run_add(struct cli_options *options, int argc, char **argv)
{
    const char *file = parse_file(options, argc, argv,
                                  "Adds a new key, which becomes the active one. The keys that "
                                  "were there stay: what they sealed still opens.");
    struct err_text why = {0};
    uint32_t id;
    if (keyring_add(file, &id, &why) != ERR_OK) {
        term_problem("%s", why.text);
        return CLI_UNDECIDED;
    }
    if (options->json)
        proto_json_print(json_pack("{s:I}", "id", (json_int_t)id));
    else
        term_field("added", "key %u, active once twostepd has reloaded (SIGHUP) or restarted", id);
    return CLI_DONE;
}

static json_t *list_json(const struct keyring *ring)
{
    json_t *keys = json_array();
    for (size_t i = 0; i < keyring_count(ring); i++) {
        uint32_t id = keyring_id_at(ring, i);
        json_array_append_new(keys, json_pack("{s:I,s:b}", "id", (json_int_t)id, "active",
                                              id == keyring_active(ring)));
    }
    return json_pack("{s:o}", "keys", keys);
}

static enum cli_exit run_list(struct cli_options *options, int argc, char **argv)
{
    const char *file =
        parse_file(options, argc, argv, "Lists the ids of the keys, never the keys.");
    struct err_text why = {0};
    struct keyring *ring;
    if (keyring_load(&ring, file, &why) != ERR_OK) {
        term_problem("%s", why.text);
        return CLI_UNDECIDED;
    }
    if (options->json)
        proto_json_print(list_json(ring));
    for (size_t i = 0; i < keyring_count(ring) && !options->json; i++) {
        uint32_t id = keyring_id_at(ring, i);
        printf("key %u%s\n", id, id == keyring_active(ring) ? " active" : "");
    }
    keyring_free(ring);
    return CLI_DONE;
}

static const struct command init = {
    .name = "init", .summary = "Make a keyring for a new twostepd", .run = run_init};
static const struct command add = {
    .name = "add", .summary = "Add a key and make it the active one", .run = run_add};
static const struct command list = {
    .name = "list", .summary = "List the ids of the keys", .run = run_list};

const struct command cmd_keyring = {
    .name = "keyring",
    .summary = "Looks after the file of key-encryption keys.",
    .subs = (const struct command *const[]){&init, &add, &list, NULL},
};
