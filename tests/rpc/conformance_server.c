/* SPDX-License-Identifier: ISC */

/* The server under test of the conformance suite of connectrpc.com: its ConformanceService
 * answers as the first message of a call says, and tells what it was given. How to serve
 * comes on standard input, and where on standard output (docs/testing_servers.md there). */

#include "base/clock.h"
#include "base/loop.h"
#include "base/mem.h"
#include "connectrpc/conformance/v1/conformance.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "rpc/serve.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REQUEST_MAX (1024 * 1024) /* of what comes on standard input */
#define TYPE        "type.googleapis.com/connectrpc.conformance.v1."

typedef Connectrpc__Conformance__V1__Header pb_header;
typedef Connectrpc__Conformance__V1__Error pb_error;
typedef Connectrpc__Conformance__V1__ConformancePayload pb_payload;
typedef Connectrpc__Conformance__V1__RequestInfo pb_request_info;
typedef Connectrpc__Conformance__V1__Response pb_response;
typedef Google__Protobuf__Any pb_any;

/* What a row of the table has beside. */
struct kind {
    const ProtobufCMessageDescriptor *type;
    const char *name; /* of the request's type */
};

/* What the first message asks for. */
struct script {
    pb_header **headers, **trailers;
    size_t n_headers, n_trailers;
    ProtobufCBinaryData *data;
    size_t n_data;
    uint32_t delay_ms;
    pb_error *error;
    bool full_duplex;
};

/* A call under way, from its first message on. */
struct run {
    struct grpc_call_id id;
    const struct grpc_method *method;
    ProtobufCMessage *first; /* NULL: there was none */
    struct script script;
    size_t sent;       /* of script.data */
    pb_any **requests; /* those that no answer has told of */
    size_t n_requests;
    bool half_closed;
    struct event timer;
};

/* ---- reading ---- */

static struct script script_of_one(Connectrpc__Conformance__V1__UnaryResponseDefinition *d)
{
    if (d == NULL)
        return (struct script){0};
    return (struct script){.headers = d->response_headers,
                           .n_headers = d->n_response_headers,
                           .trailers = d->response_trailers,
                           .n_trailers = d->n_response_trailers,
                           .data = &d->response_data,
                           .n_data = 1,
                           .delay_ms = d->response_delay_ms,
                           .error = d->error};
}

static struct script script_of_many(Connectrpc__Conformance__V1__StreamResponseDefinition *d)
{
    if (d == NULL)
        return (struct script){0};
    return (struct script){.headers = d->response_headers,
                           .n_headers = d->n_response_headers,
                           .trailers = d->response_trailers,
                           .n_trailers = d->n_response_trailers,
                           .data = d->response_data,
                           .n_data = d->n_response_data,
                           .delay_ms = d->response_delay_ms,
                           .error = d->error};
}

static struct script script_of(ProtobufCMessage *first)
{
    if (first->descriptor == &connectrpc__conformance__v1__one_answer_request__descriptor)
        return script_of_one(
            ((Connectrpc__Conformance__V1__OneAnswerRequest *)first)->response_definition);
    if (first->descriptor == &connectrpc__conformance__v1__server_stream_request__descriptor)
        return script_of_many(
            ((Connectrpc__Conformance__V1__ServerStreamRequest *)first)->response_definition);
    Connectrpc__Conformance__V1__BidiStreamRequest *both = (void *)first;
    struct script script = script_of_many(both->response_definition);
    script.full_duplex = both->full_duplex;
    return script;
}

static char *lend(const char *s)
{
    return (char *)(uintptr_t)s;
}

/* Remembers the call's message, as a google.protobuf.Any. */
static void remember(struct run *run, struct str message)
{
    const struct kind *kind = run->method->ctx;
    pb_any *any = mem_alloc(sizeof *any);
    google__protobuf__any__init(any);
    any->type_url = lend(kind->name);
    any->value.len = message.len;
    any->value.data = mem_alloc(message.len);
    if (message.len > 0)
        memcpy(any->value.data, message.p, message.len);
    run->requests = mem_realloc(run->requests, (run->n_requests + 1) * sizeof(pb_any *));
    run->requests[run->n_requests++] = any;
}

static void forget_requests(struct run *run)
{
    for (size_t i = 0; i < run->n_requests; i++) {
        free(run->requests[i]->value.data);
        free(run->requests[i]);
    }
    free(run->requests);
    run->requests = NULL;
    run->n_requests = 0;
}

static void run_free(struct run *run)
{
    event_del(&run->timer);
    forget_requests(run);
    if (run->first != NULL)
        protobuf_c_message_free_unpacked(run->first, NULL);
    free(run);
}

/* ---- telling what came ---- */

/* The values of one name, as the suite writes them. */
struct seen {
    pb_header header;
    char name[128];
    char *values[16];
    char texts[16][512];
};

/* The entry of the name, which is the last one when it is new. */
static struct seen *seen_of(struct seen *seen, size_t *n, struct str name)
{
    for (size_t i = 0; i < *n; i++)
        if (str_equal(str_from(seen[i].name), name))
            return &seen[i];
    struct seen *s = &seen[(*n)++];
    connectrpc__conformance__v1__header__init(&s->header);
    snprintf(s->name, sizeof s->name, "%.*s", (int)name.len, name.p);
    s->header.name = s->name;
    s->header.value = s->values;
    return s;
}

static void see(struct seen *s, struct str value)
{
    size_t n = s->header.n_value++;
    if (n == sizeof s->values / sizeof s->values[0])
        abort(); /* no case has as many */
    snprintf(s->texts[n], sizeof s->texts[n], "%.*s", (int)value.len, value.p);
    s->values[n] = s->texts[n];
}

/* The requests since the last answer, and with the first answer the headers; packed. */
static struct buf request_info(const struct run *run, struct grpc_call *call)
{
    pb_request_info info;
    connectrpc__conformance__v1__request_info__init(&info);
    info.requests = run->requests;
    info.n_requests = run->n_requests;
    const struct grpc_metadata *metadata;
    size_t n = run->sent == 0 ? grpc_call_metadata(call, &metadata) : 0;
    struct seen *seen = mem_zalloc(n, sizeof *seen);
    pb_header **headers = mem_zalloc(n, sizeof(pb_header *));
    for (size_t i = 0; i < n; i++)
        see(seen_of(seen, &info.n_request_headers, metadata[i].name), metadata[i].value);
    for (size_t i = 0; i < info.n_request_headers; i++)
        headers[i] = &seen[i].header;
    info.request_headers = headers;
    int64_t deadline = grpc_call_deadline_ms(call);
    if (run->sent == 0 && deadline != INT64_MAX)
        info.timeout_ms = deadline - clock_mono_ms(clock_system());
    struct buf packed = serve_pack(&info.base);
    free(headers);
    free(seen);
    return packed;
}

/* The response number run->sent; packed. */
static struct buf response(const struct run *run, struct grpc_call *call)
{
    pb_response m;
    connectrpc__conformance__v1__response__init(&m);
    pb_payload payload;
    connectrpc__conformance__v1__conformance_payload__init(&payload);
    struct buf packed_info = request_info(run, call);
    pb_request_info *info =
        connectrpc__conformance__v1__request_info__unpack(NULL, packed_info.len, packed_info.data);
    m.payload = &payload;
    if (run->sent < run->script.n_data)
        payload.data = run->script.data[run->sent];
    if (run->sent == 0 || run->n_requests > 0)
        payload.request_info = info;
    struct buf packed = serve_pack(&m.base);
    connectrpc__conformance__v1__request_info__free_unpacked(info, NULL);
    buf_release(&packed_info);
    return packed;
}

/* ---- answering ---- */

static struct grpc_metadata *metadata_of(pb_header *const *headers, size_t n, size_t *n_out)
{
    struct grpc_metadata *out = NULL;
    *n_out = 0;
    for (size_t i = 0; i < n; i++) {
        out = mem_realloc(out, (*n_out + headers[i]->n_value + 1) * sizeof *out);
        for (size_t k = 0; k < headers[i]->n_value; k++)
            out[(*n_out)++] = (struct grpc_metadata){.name = str_from(headers[i]->name),
                                                     .value = str_from(headers[i]->value[k])};
    }
    return out;
}

/* The google.rpc.Status of the script's error, whose details end with what came when no
 * response has told that. */
static struct buf status_of(const struct run *run, struct grpc_call *call)
{
    const pb_error *error = run->script.error;
    Google__Rpc__Status status;
    google__rpc__status__init(&status);
    pb_any info;
    google__protobuf__any__init(&info);
    struct buf packed_info = request_info(run, call);
    info.type_url = lend(TYPE "ConformancePayload.RequestInfo");
    info.value.data = packed_info.data;
    info.value.len = packed_info.len;
    pb_any **details = mem_alloc((error->n_details + 1) * sizeof(pb_any *));
    for (size_t i = 0; i < error->n_details; i++)
        details[i] = error->details[i];
    details[error->n_details] = &info;
    status.code = error->code;
    status.message = error->message;
    status.details = details;
    status.n_details = error->n_details + (run->sent == 0);
    struct buf packed = serve_pack(&status.base);
    free(details);
    buf_release(&packed_info);
    return packed;
}

/* The end of the call, with the one response where the server does not stream. */
static void finish(struct run *run, struct grpc_call *call)
{
    const struct script *script = &run->script;
    bool streams = run->method->streams & GRPC_SERVER_STREAMS;
    struct grpc_answer a = {0};
    struct buf details = BUF_INIT, message = BUF_INIT;
    struct grpc_metadata *initial = metadata_of(script->headers, script->n_headers, &a.n_initial);
    struct grpc_metadata *trailing =
        metadata_of(script->trailers, script->n_trailers, &a.n_trailing);
    a.initial = initial;
    a.trailing = trailing;
    if (script->error != NULL) {
        details = status_of(run, call);
        a.status = (enum grpc_status)script->error->code;
        a.status_message = str_from(script->error->message);
        a.status_details = buf_str(&details);
    } else if (!streams) {
        message = response(run, call);
        a.message = buf_str(&message);
    }
    a.compress = GRPC_COMPRESS_ALWAYS;
    grpc_reply(call, &a);
    free(initial);
    free(trailing);
    buf_release(&details);
    buf_release(&message);
    run_free(run);
}

static void wait_and_go_on(struct run *run)
{
    struct timeval wait = {.tv_sec = run->script.delay_ms / 1000,
                           .tv_usec = run->script.delay_ms % 1000 * 1000};
    event_add(&run->timer, &wait);
}

/* One response of a stream, if it is its turn, or the end. */
static void step(struct run *run, struct grpc_call *call)
{
    if (!(run->method->streams & GRPC_SERVER_STREAMS) || run->sent == run->script.n_data) {
        finish(run, call);
        return;
    }
    struct buf packed = response(run, call);
    bool sent = grpc_send(call, buf_str(&packed));
    buf_release(&packed);
    if (!sent)
        return; /* on_room comes */
    run->sent++;
    forget_requests(run);
    if (run->script.full_duplex && !run->half_closed)
        grpc_resume(call);
    else if (run->sent < run->script.n_data)
        wait_and_go_on(run);
    else
        finish(run, call);
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct run *run = arg;
    step(run, grpc_call_find(serve_server(), run->id));
}

static void on_room(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    step(grpc_call_state(call), call);
}

static struct run *run_of(struct grpc_call *call, const struct grpc_method *method)
{
    struct run *run = grpc_call_state(call);
    if (run != NULL)
        return run;
    run = mem_zalloc(1, sizeof *run);
    run->id = grpc_call_id(call);
    run->method = method;
    evtimer_assign(&run->timer, loop_base(grpc_call_loop(call)), on_time, run);
    grpc_call_set_state(call, run);
    return run;
}

/* The responses may begin: at once with the headers when there are several. */
static void begin(struct run *run, struct grpc_call *call)
{
    const struct script *script = &run->script;
    if (run->method->streams & GRPC_SERVER_STREAMS && script->n_data > 0 && run->sent == 0) {
        size_t n;
        struct grpc_metadata *initial = metadata_of(script->headers, script->n_headers, &n);
        grpc_start(call, initial, n, GRPC_COMPRESS_ALWAYS);
        free(initial);
    }
    wait_and_go_on(run);
}

static void on_message(struct grpc_call *call, const struct grpc_method *method)
{
    const struct kind *kind = method->ctx;
    struct run *run = run_of(call, method);
    struct str m = grpc_call_message(call);
    bool is_first = run->first == NULL;
    remember(run, m);
    if (is_first) {
        run->first = protobuf_c_message_unpack(kind->type, NULL, m.len, (const uint8_t *)m.p);
        if (run->first == NULL) {
            run_free(run);
            grpc_reply_status(call, GRPC_INTERNAL, "not a request of this method");
            return;
        }
        run->script = script_of(run->first);
    }
    if (run->script.full_duplex)
        grpc_hold(call);
    if (is_first && (run->script.full_duplex || !(method->streams & GRPC_CLIENT_STREAMS)))
        begin(run, call);
    else if (run->script.full_duplex)
        wait_and_go_on(run);
}

static void on_half_closed(struct grpc_call *call, const struct grpc_method *method)
{
    struct run *run = run_of(call, method);
    run->half_closed = true;
    if (run->script.full_duplex)
        wait_and_go_on(run);
    else
        begin(run, call);
}

static void on_gone(struct grpc_call *call, const struct grpc_method *method)
{
    (void)method;
    struct run *run = grpc_call_state(call);
    if (run != NULL)
        run_free(run);
}

/* ---- the table, and the start ---- */

#define SERVICE "/connectrpc.conformance.v1.ConformanceService/"

static const struct kind unary = {&connectrpc__conformance__v1__one_answer_request__descriptor,
                                  TYPE "UnaryRequest"};
static const struct kind client_stream = {
    &connectrpc__conformance__v1__one_answer_request__descriptor, TYPE "ClientStreamRequest"};
static const struct kind server_stream = {
    &connectrpc__conformance__v1__server_stream_request__descriptor, TYPE "ServerStreamRequest"};
static const struct kind bidi_stream = {
    &connectrpc__conformance__v1__bidi_stream_request__descriptor, TYPE "BidiStreamRequest"};

static const struct grpc_method methods[] = {
    {.path = SERVICE "Unary", .serve = on_message, .gone = on_gone, .ctx = &unary},
    {.path = SERVICE "ClientStream",
     .streams = GRPC_CLIENT_STREAMS,
     .serve = on_message,
     .half_closed = on_half_closed,
     .gone = on_gone,
     .ctx = &client_stream},
    {.path = SERVICE "ServerStream",
     .streams = GRPC_SERVER_STREAMS,
     .serve = on_message,
     .room = on_room,
     .gone = on_gone,
     .ctx = &server_stream},
    {.path = SERVICE "BidiStream",
     .streams = GRPC_BOTH_STREAM,
     .serve = on_message,
     .half_closed = on_half_closed,
     .room = on_room,
     .gone = on_gone,
     .ctx = &bidi_stream},
};

/* Messages of the runner have their length before them, in four bytes. */
static Connectrpc__Conformance__V1__ServerCompatRequest *read_request(void)
{
    static uint8_t bytes[REQUEST_MAX];
    uint8_t head[4];
    if (fread(head, 1, sizeof head, stdin) != sizeof head)
        return NULL;
    size_t n = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
    if (n > sizeof bytes || fread(bytes, 1, n, stdin) != n)
        return NULL;
    return connectrpc__conformance__v1__server_compat_request__unpack(NULL, n, bytes);
}

static ProtobufCBinaryData own_cert; /* told with the address */

static void tell_address(const char *address)
{
    Connectrpc__Conformance__V1__ServerCompatResponse m;
    connectrpc__conformance__v1__server_compat_response__init(&m);
    char host[] = "127.0.0.1";
    m.host = host;
    m.port = (uint32_t)strtoul(strrchr(address, ':') + 1, NULL, 10);
    m.pem_cert = own_cert;
    struct buf packed = serve_pack(&m.base);
    const uint8_t head[4] = {(uint8_t)(packed.len >> 24), (uint8_t)(packed.len >> 16),
                             (uint8_t)(packed.len >> 8), (uint8_t)packed.len};
    fwrite(head, 1, sizeof head, stdout);
    fwrite(packed.data, 1, packed.len, stdout);
    fflush(stdout);
    buf_release(&packed);
}

/* ---- TLS: what the runner sends, as files for as long as this runs ---- */

#define RANDOM_LEN 6
static struct {
    char folder[32], cert[48], key[48], client_ca[48];
} files = {.folder = "/tmp/conformance-"};

static const char *write_file(char path[static 48], const char *name, ProtobufCBinaryData pem)
{
    snprintf(path, 48, "%s/%s", files.folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, S_IRUSR | S_IWUSR);
    bool whole = fd >= 0 && write(fd, pem.data, pem.len) == (ssize_t)pem.len;
    if (!whole || close(fd) != 0) {
        perror(path);
        exit(1);
    }
    return path;
}

static void take_tls(struct serve_options *o,
                     const Connectrpc__Conformance__V1__ServerCompatRequest *request)
{
    memset(files.folder + strlen(files.folder), 'X', RANDOM_LEN); /* mkdtemp's place for it */
    if (mkdtemp(files.folder) == NULL)
        exit(1);
    o->tls.cert_file = write_file(files.cert, "cert", request->server_creds->cert);
    o->tls.key_file = write_file(files.key, "key", request->server_creds->key);
    if (request->client_tls_cert.len > 0)
        o->tls.client_ca_file = write_file(files.client_ca, "client_ca", request->client_tls_cert);
    own_cert = request->server_creds->cert;
}

static void remove_files(void)
{
    const char *const paths[] = {files.cert, files.key, files.client_ca};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (paths[i][0] != '\0')
            unlink(paths[i]);
    rmdir(files.folder);
}

int main(void)
{
    Connectrpc__Conformance__V1__ServerCompatRequest *request = read_request();
    if (request == NULL || (request->use_tls && request->server_creds == NULL)) {
        fprintf(stderr, "no request, or one for TLS without a certificate\n");
        return 2;
    }
    struct serve_options o = {.address = "127.0.0.1:0",
                              .loops = 1,
                              .limits = GRPC_LIMITS_DEFAULT,
                              .listening = tell_address};
    o.limits.message_bytes = SERVE_MESSAGE_LIMIT;
    if (request->message_receive_limit > 0)
        o.limits.message_bytes = request->message_receive_limit;
    if (request->use_tls)
        take_tls(&o, request);
    int status = serve_run(&o, methods, sizeof methods / sizeof methods[0]);
    if (request->use_tls)
        remove_files();
    connectrpc__conformance__v1__server_compat_request__free_unpacked(request, NULL);
    return status;
}
