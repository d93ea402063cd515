/* SPDX-License-Identifier: ISC */
#include "cli/remote_internal.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/file.h"
#include "cli/explain_internal.h"
#include "cli/proto_arena_internal.h"
#include "cli/proto_json_internal.h"
#include "cli/term_internal.h"
#include "crypto/secret.h"
#include "grpc/client.h"
#include "grpc/server.h"
#include "rpc/callers.h"

#define ANSWER_CAP    (16 * 1024 * 1024)
#define PATH_ROOM     160
#define BEARER        "Bearer "
#define BEARER_LEN    (sizeof BEARER - 1)
#define AUTHORIZATION (BEARER_LEN + CALLER_TOKEN_MAX)

/* The value of `authorization`, and its length; 0: none. The caller wipes it. */
static enum err read_authorization(char out[static AUTHORIZATION], size_t *len_out,
                                   const char *token_file, struct err_text *why)
{
    *len_out = 0;
    if (token_file == NULL)
        return ERR_OK;
    memcpy(out, BEARER, BEARER_LEN);
    char *token = out + BEARER_LEN;
    size_t n;
    TRY(file_read_private(token_file, (uint8_t *)token, CALLER_TOKEN_MAX, &n, why));
    while (n > 0 && (token[n - 1] == '\n' || token[n - 1] == '\r' || token[n - 1] == ' '))
        n--;
    for (size_t i = 0; i < n; i++)
        if (token[i] <= ' ' || token[i] > '~')
            n = 0;
    if (n == 0)
        return err_set(why, ERR_INVALID, NULL, "%.120s: there is no token in it, one line",
                       token_file);
    *len_out = BEARER_LEN + n;
    return ERR_OK;
}

static enum cli_exit tell_no_answer(const struct cli_options *options, enum err e,
                                    const struct err_text *why)
{
    bool is_unix = str_has_prefix(str_from(options->server), STR("unix:"));
    bool is_address = grpc_address_is_valid(options->server) && !(is_unix && options->tls);
    if (e == ERR_INVALID && !is_address) {
        term_problem("--server: '%s': %s", options->server, why->text);
        return CLI_USAGE;
    }
    if (e == ERR_INVALID || e == ERR_NOT_FOUND || e == ERR_DENIED) {
        term_problem("%s: %s", options->server, why->text);
        if (e == ERR_DENIED && options->tls_ca == NULL)
            term_detail("--tls-ca=FILE names who vouches for the server; without TLS options it "
                        "speaks plaintext");
        return CLI_UNDECIDED;
    }
    term_problem("no answer from %s: %s", options->server, why->text);
    term_detail(!options->tls && !is_unix
                    ? "is twostepd running there? --server=ADDR names another place, --tls-ca=FILE "
                      "speaks TLS"
                    : "is twostepd running there? --server=ADDR names another place");
    return CLI_UNDECIDED;
}

static enum err exchange(const struct cli_options *options, const struct grpc_client_call *call,
                         struct grpc_client_reply *reply, struct err_text *why)
{
    struct grpc_client *client;
    const struct grpc_client_tls tls = {
        .ca_file = options->tls_ca, .cert_file = options->tls_cert, .key_file = options->tls_key};
    TRY(grpc_client_open_tls(&client, options->server, options->tls ? &tls : NULL,
                             options->timeout_ms, why));
    enum err e = grpc_client_call(client, call, reply, why);
    grpc_client_close(client);
    return e;
}

/* Packs the request, adds the credential and gets the reply. */
static enum cli_exit send_request(struct grpc_client_reply *reply,
                                  const struct cli_options *options, const char *path,
                                  const ProtobufCMessage *request)
{
    struct err_text why = {0};
    char authorization[AUTHORIZATION];
    size_t len;
    if (read_authorization(authorization, &len, options->token_file, &why) != ERR_OK) {
        term_problem("%s", why.text);
        return CLI_UNDECIDED;
    }
    if (len > 0 && !options->tls && !grpc_address_is_local(options->server))
        term_problem("warning: the token goes to %s without encryption", options->server);

    struct buf packed = BUF_INIT;
    buf_reserve(&packed, protobuf_c_message_get_packed_size(request));
    packed.len = protobuf_c_message_pack(request, packed.data);
    const struct grpc_metadata credential = {STR("authorization"), {authorization, len}};
    const struct grpc_client_call call = {
        .path = path,
        .message = buf_str(&packed),
        .metadata = &credential,
        .n_metadata = len > 0 ? 1 : 0,
        .timeout_ms = options->timeout_ms,
    };
    enum err e = exchange(options, &call, reply, &why);
    secret_wipe(authorization, sizeof authorization);
    if (packed.len > 0)
        secret_wipe(packed.data, packed.len);
    buf_release(&packed);
    return e == ERR_OK ? CLI_DONE : tell_no_answer(options, e, &why);
}

static enum cli_exit unpack(struct remote_answer *out, const ProtobufCMessageDescriptor *type,
                            struct str bytes)
{
    struct arena *arena = arena_new(ANSWER_CAP);
    ProtobufCAllocator memory = proto_arena(arena);
    const ProtobufCMessage *message =
        protobuf_c_message_unpack(type, &memory, bytes.len, (const uint8_t *)bytes.p);
    if (message == NULL) {
        arena_free(arena);
        term_problem("the answer is not a %s: is this another version of twostepd?", type->name);
        return CLI_UNDECIDED;
    }
    *out = (struct remote_answer){.message = message, .arena = arena};
    return CLI_DONE;
}

enum cli_exit remote_call(struct remote_answer *out, const struct cli_options *options,
                          const ProtobufCServiceDescriptor *service, const char *method,
                          const ProtobufCMessage *request)
{
    const ProtobufCMethodDescriptor *m =
        protobuf_c_service_descriptor_get_method_by_name(service, method);
    char path[PATH_ROOM];
    snprintf(path, sizeof path, "/%s/%s", service->name, m->name);

    struct grpc_client_reply reply = {0};
    enum cli_exit exit_code = send_request(&reply, options, path, request);
    if (exit_code == CLI_DONE && reply.status != GRPC_OK) {
        explain_status(&reply);
        exit_code = CLI_UNDECIDED;
    } else if (exit_code == CLI_DONE) {
        exit_code = unpack(out, m->output, buf_str(&reply.message));
    }
    grpc_client_reply_release(&reply);
    return exit_code;
}

enum cli_exit remote_print_json(const struct remote_answer *answer)
{
    json_t *value = proto_json_from(answer->message);
    if (value == NULL) {
        term_problem("the answer has texts or times that JSON does not have; leave --json out");
        return CLI_UNDECIDED;
    }
    proto_json_print(value);
    return CLI_DONE;
}

void remote_answer_release(struct remote_answer *answer)
{
    arena_free(answer->arena);
    *answer = (struct remote_answer){0};
}
