/*
 * The JSON protocols: which operation is meant, who asks, what is in the body; and answers with the
 * headers that clients look for.
 */
#include "aws/shell.h"

#include <inttypes.h>
#include <stdio.h>

#include "admin/faults.h"
#include "base/mem.h"
#include "cbor.h"

#define CALL_MEMORY ((size_t)256 << 20)
#define OUT_MAX ((size_t)256 << 20)

typedef struct shell {
    local *home;
    aws_service service;
    local_service as_local;
    weir_json_parser parser; /* its nodes are used again for every call */
} shell;

static const aws_exception UNKNOWN_OPERATION = {"UnknownOperationException", 400};
static const aws_exception SERIALIZATION = {"SerializationException", 400};
static const aws_exception TOO_LARGE = {"SerializationException", 413};

/* ---- which operation ---- */

static bool claims(void *state, const exchange *x) {
    const shell *s = state;
    weir_str target = exchange_request_header(x, "x-amz-target");
    size_t n = strlen(s->service.target);
    return target.len > n && memcmp(target.ptr, s->service.target, n) == 0 && target.ptr[n] == '.';
}

static weir_str name_of(const shell *s, const exchange *x) {
    weir_str target = exchange_request_header(x, "x-amz-target");
    size_t n = strlen(s->service.target) + 1;
    return target.len < n ? STR("") : str_make(target.ptr + n, (size_t)target.len - n);
}

static const aws_operation *find(const shell *s, const exchange *x) {
    weir_str name = name_of(s, x);
    for (uint32_t i = 0; i < s->service.operation_count; i++)
        if (str_eq_z(name, s->service.operations[i].name)) return &s->service.operations[i];
    return NULL;
}

static aws_encoding encoding_of(const shell *s, const exchange *x) {
    weir_str type = exchange_request_header(x, "content-type");
    return s->service.cbor && str_starts(type, STR("application/x-amz-cbor")) ? AWS_CBOR : AWS_JSON;
}

/* ---- a call's life ---- */

static void call_free(aws_call *call) {
    buf_free(&call->out.text);
    arena_free(call->memory);
    mem_free(call);
}

static void lost(void *opaque) {
    call_free(opaque);
}

static aws_call *call_new(shell *s, exchange *x, const aws_operation *op) {
    aws_call *call = mem_zalloc(sizeof *call);
    if (!call) return NULL;
    call->memory = arena_new(CALL_MEMORY);
    if (!call->memory) {
        mem_free(call);
        return NULL;
    }
    call->home = s->home;
    call->x = x;
    call->state = s->service.state;
    call->service = &s->service;
    call->operation = op;
    call->encoding = encoding_of(s, x);
    aws_out_init(&call->out, call->encoding, OUT_MAX);
    local_uuid(s->home, call->request_id);
    exchange_on_close(x, lost, call);
    return call;
}

static void put_headers(aws_call *call) {
    if (call->encoding == AWS_CBOR) {
        exchange_header(call->x, "content-type", STR("application/x-amz-cbor-1.1"));
    } else {
        exchange_header_f(call->x, "content-type", "application/x-amz-json-%s",
                          call->service->version);
    }
    exchange_header(call->x, "x-amzn-requestid", str_of(call->request_id));
}

static void free_text(void *opaque) {
    mem_free(opaque);
}

/* The text of `out` becomes a part of the answer without being copied. */
static void give_text(aws_call *call) {
    buf *t = &call->out.text;
    if (t->failed) {
        exchange_abort(call->x);
        return;
    }
    if (!t->len) return;
    exchange_refer(call->x, t->data, t->len, free_text, t->data);
    size_t max = t->max;
    buf_init(t, max);
}

void aws_fail(aws_call *call, const aws_exception *e, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0) text[0] = 0;
    exchange *x = call->x;
    exchange_reset(x);
    exchange_status(x, e->status);
    exchange_header(x, "x-amzn-errortype", str_of(e->name));
    put_headers(call);
    buf_reset(&call->out.text);
    call->out.comma = false;
    aws_out_open(&call->out, NULL);
    aws_out_z(&call->out, "__type", e->name);
    aws_out_z(&call->out, "message", text);
    aws_out_close(&call->out);
    give_text(call);
    call_free(call);
    exchange_send(x);
}

void aws_end(aws_call *call) {
    exchange *x = call->x;
    put_headers(call);
    if (call->out.text.len) {
        aws_out_close(&call->out);
        give_text(call);
    }
    call_free(call);
    exchange_send(x);
}

void aws_send(aws_call *call) {
    exchange *x = call->x;
    put_headers(call);
    call_free(call);
    exchange_send(x);
}

void aws_release(aws_call *call) {
    exchange_on_close(call->x, NULL, NULL);
    call_free(call);
}

void aws_give(aws_call *call) {
    give_text(call);
}

/* ---- reading the body ---- */

static weir_value *grow(void *opaque, uint32_t used, uint32_t capacity, uint32_t *new_capacity) {
    shell *s = opaque;
    (void)used;
    uint32_t room = capacity < 1024 ? 1024 : capacity * 2;
    weir_value *nodes = mem_realloc(s->parser.nodes, room * sizeof *nodes);
    if (!nodes) return NULL;
    *new_capacity = room;
    return nodes;
}

static arena *string_arena; /* of the call being read; one thread */

static char *alloc_string(void *opaque, uint64_t size) {
    (void)opaque;
    return arena_alloc(string_arena, (size_t)size);
}

static bool read_input(shell *s, aws_call *call) {
    weir_str body = exchange_request(call->x)->body;
    weir_json_parser *p = &s->parser;
    string_arena = call->memory;
    if (!body.len) body = call->encoding == AWS_CBOR ? STR("\xa0") : STR("{}");
    p->flags = call->encoding == AWS_CBOR ? WEIR_CBOR_TIME_MS : 0;
    weir_status st =
        call->encoding == AWS_CBOR ? weir_cbor_parse(p, body) : weir_json_parse(p, body);
    if (st == WEIR_E_TOO_LARGE || st == WEIR_E_NOMEM) {
        aws_fail(call, &TOO_LARGE, "the body is too large");
        return false;
    }
    if (st != WEIR_OK || p->nodes[0].type != WEIR_V_OBJECT) {
        aws_fail(call, &SERIALIZATION, "Unable to parse the request body: %s at byte %" PRIu64,
                 st != WEIR_OK ? p->fault.text : "expected an object",
                 st != WEIR_OK ? p->fault.offset : UINT64_C(0));
        return false;
    }
    call->in = p->nodes;
    return true;
}

/* ---- signatures ---- */

static bool refuse(aws_call *call, aws_auth a, const char *detail) {
    static const aws_exception missing = {"MissingAuthenticationTokenException", 400},
                               incomplete = {"IncompleteSignatureException", 400},
                               unknown = {"UnrecognizedClientException", 400},
                               mismatch = {"InvalidSignatureException", 400},
                               expired = {"ExpiredTokenException", 400};
    switch (a) {
    case AWS_AUTH_OK:
        return false;
    case AWS_AUTH_MISSING:
        aws_fail(call, &missing, "Missing Authentication Token");
        break;
    case AWS_AUTH_INCOMPLETE:
        aws_fail(
            call, &incomplete, "%s",
            detail[0]
                ? detail
                : "Authorization header requires "
                  "'Credential', 'SignedHeaders' and 'Signature' parameters and an 'X-Amz-Date'.");
        break;
    case AWS_AUTH_UNKNOWN:
    case AWS_AUTH_BAD_TOKEN:
        aws_fail(call, &unknown, "The security token included in the request is invalid.");
        break;
    case AWS_AUTH_EXPIRED:
        aws_fail(call, &expired, "The security token included in the request is expired");
        break;
    default:
        aws_fail(call, &mismatch, "%s", detail);
    }
    return true;
}

/* Each region's endpoint takes its own credentials' scopes only; so does this one, once it checks
 * signatures at all. */
static bool refuse_region(aws_call *call, const aws_identity *who) {
    static const aws_exception mismatch = {"InvalidSignatureException", 400};
    const local_options *o = local_settings(call->home);
    if (!o->verify || str_eq_z(who->region, o->region)) return false;
    aws_fail(call, &mismatch, "Credential should be scoped to a valid region, not '%.*s'. ",
             who->region.len > 64 ? 64 : (int)who->region.len, who->region.ptr);
    return true;
}

/* ---- one request ---- */

static void serve(void *state, exchange *x) {
    shell *s = state;
    const aws_operation *op = find(s, x);
    if (!faults_meet(s->home, x, s->service.name, op ? op->name : "?", serve, s)) return;
    aws_call *call = call_new(s, x, op);
    if (!call) {
        exchange_abort(x);
        return;
    }
    if (!op) {
        weir_str name = name_of(s, x);
        aws_fail(call, &UNKNOWN_OPERATION, "weir-local has no operation '%.*s' of %s",
                 name.len > 128 ? 128 : (int)name.len, name.ptr, s->service.name);
        return;
    }
    if (!(op->flags & AWS_UNSIGNED)) {
        aws_identity who;
        aws_auth a = aws_authenticate(s->home, x, s->service.name, &who);
        if (refuse(call, a, who.detail) || refuse_region(call, &who)) return;
        call->access_key = arena_str(call->memory, who.access_key);
    }
    if (!read_input(s, call)) return;
    op->run(call);
}

static void fail(void *state, exchange *x, unsigned status, const char *code, const char *message) {
    shell *s = state;
    aws_call *call = call_new(s, x, NULL);
    if (!call) {
        exchange_abort(x);
        return;
    }
    aws_fail(call, &(aws_exception){code, status}, "%s", message);
}

static const char *operation_name(const void *state, uint32_t index) {
    const shell *s = state;
    return index < s->service.operation_count ? s->service.operations[index].name : NULL;
}

static void shell_free(void *state) {
    shell *s = state;
    if (s->service.free) s->service.free(s->service.state);
    weir_json_parser_free(&s->parser);
    mem_free(s->parser.nodes);
    mem_free(s);
}

bool aws_json_service(local *home, const aws_service *service, local_service *out) {
    shell *s = mem_zalloc(sizeof *s);
    if (!s) return false;
    s->home = home;
    s->service = *service;
    s->parser.grow = grow;
    s->parser.alloc = alloc_string;
    s->parser.opaque = s;
    s->parser.nodes = mem_array(1024, sizeof(weir_value));
    s->parser.capacity = 1024;
    if (!s->parser.nodes) {
        mem_free(s);
        return false;
    }
    *out = (local_service){.name = service->name,
                           .claims = claims,
                           .serve = serve,
                           .fail = fail,
                           .free = shell_free,
                           .operation = operation_name,
                           .state = s,
                           .own = service->state};
    return true;
}

/* ---- reading ---- */

const weir_value *aws_in(const aws_call *call, const char *name) {
    const weir_value *v = weir_json_get(call->in, name);
    return v && v->type != WEIR_V_NULL ? v : NULL;
}

weir_str aws_in_str(const aws_call *call, const char *name) {
    const weir_value *v = aws_in(call, name);
    return v && v->type == WEIR_V_STRING ? weir_value_str(v) : (weir_str){NULL, 0};
}

bool aws_blob(aws_call *call, const weir_value *v, weir_str *out) {
    if (!v) return false;
    if (v->type == WEIR_V_BYTES) {
        *out = weir_value_str(v);
        return true;
    }
    if (v->type != WEIR_V_STRING) return false;
    weir_str text = weir_value_str(v);
    char *bytes = arena_alloc(call->memory, (size_t)text.len * 3 / 4 + 1);
    if (!bytes) return false;
    uint64_t n = weir_base64_decode(text, bytes);
    if (n == UINT64_MAX) return false;
    *out = str_make(bytes, (size_t)n);
    return true;
}

bool aws_seconds(const weir_value *v, double *out) {
    if (v->type == WEIR_V_I64)
        *out = (double)v->as.i64;
    else if (v->type == WEIR_V_F64)
        *out = v->as.f64;
    else
        return v->type == WEIR_V_STRING && v->logical == WEIR_L_DECIMAL &&
               str_to_f64(weir_value_str(v), out);
    return true;
}

bool aws_time_ms(const aws_call *call, const weir_value *v, int64_t *out) {
    (void)call;
    double seconds;
    if (v->type == WEIR_V_I64 && v->logical == WEIR_L_TIMESTAMP_US) {
        *out = v->as.i64 / 1000;
        return true;
    }
    if (!aws_seconds(v, &seconds) || !(seconds > -1e12 && seconds < 1e12)) return false;
    *out = (int64_t)(seconds * 1000.0 + (seconds < 0 ? -0.5 : 0.5));
    return true;
}

uint64_t aws_characters(weir_str text) {
    uint64_t n = 0;
    for (size_t i = 0; i < text.len; i++) n += ((unsigned char)text.ptr[i] & 0xc0) != 0x80;
    return n;
}
