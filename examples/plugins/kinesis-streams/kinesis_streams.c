/*
 * The source `kinesis_streams`: the names of the account's Kinesis streams, a record each.
 *
 * It shows how a plugin calls an AWS service. No operation waits: `poll` begins a call once, moves
 * it until the host's deadline and otherwise says "come again"; `cancel` and `wakeup` end that wait
 * from another thread. A position is the name that was read last, which is also where ListStreams
 * goes on.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <weir/aws.h>
#include <weir/json.h>
#include <weir/sdk.h>

#include "weir_options_kinesis_streams.h"

#define NAME_MAX_BYTES 128u /* the service's limit for a stream's name */

typedef struct streams {
    weir_ctx *ctx;
    /* From the first open to destroy, so that cancel and wakeup may use it at any time between. */
    _Atomic(weir_aws_client *) client;
    atomic_bool cancelled;
    bool assigned;
    bool waiting;           /* a call is under way */
    bool last_page;         /* the service has no more names than those of `page` */
    weir_json_doc *page;    /* the last answer */
    const weir_value *next; /* the name to give out next, in `page` */
    uint32_t left;          /* names from `next` on */
    char position[NAME_MAX_BYTES];
    uint32_t position_len;
    weir_status status; /* what `done` found */
    weir_error *error;  /* the current poll's */
} streams;

static weir_status streams_create(weir_create *args) {
    streams *s = weir_zalloc(args->ctx, sizeof *s);
    if (s == NULL) return WEIR_E_NOMEM;
    s->ctx = args->ctx;
    args->self = s;
    return WEIR_OK;
}

static void streams_destroy(void *self) {
    streams *s = self;
    weir_aws_client_free(atomic_load(&s->client));
    weir_json_free(s->page);
    weir_free(s->ctx, s);
}

static weir_status streams_open(void *self, weir_open *args) {
    streams *s = self;
    weir_aws_client_args client = {.service = "kinesis"};
    weir_aws_client *made;
    if (atomic_load(&s->cancelled)) return WEIR_E_CANCELLED;
    if (atomic_load(&s->client) != NULL) return WEIR_OK; /* opened before */
    weir_status status = weir_aws_client_new(s->ctx, &client, args->error, &made);
    if (status == WEIR_OK) atomic_store(&s->client, made);
    return status;
}

/* One split, "0": the host makes it, since there is no extension that lists splits. */
static weir_status streams_assign(void *self, weir_assign *args) {
    streams *s = self;
    bool before = s->assigned;
    s->assigned = args->count > 0;
    if (!s->assigned || before) return WEIR_OK;
    uint32_t len = args->position_len != NULL ? args->position_len[0] : 0;
    if (len > sizeof s->position) {
        return weir_fail(s->ctx, args->error, WEIR_E_INCOMPATIBLE, WEIR_ERR_CONFIG,
                         "expected the name of a stream as position, found %u bytes", len);
    }
    if (len > 0) memcpy(s->position, args->position_ptr[0], len);
    s->position_len = len;
    return WEIR_OK;
}

/* Takes the names out of an answer; they point into `page`, which has a copy of the body. */
static weir_status read_page(streams *s, weir_str body) {
    weir_json_fault fault;
    weir_json_free(s->page);
    s->left = 0;
    s->page = weir_json_read(body, 0, &fault);
    if (s->page == NULL) {
        return weir_fail(s->ctx, s->error, WEIR_E_IO, WEIR_ERR_RETRYABLE,
                         "ListStreams answered something else: column %u: %s", fault.column,
                         fault.text);
    }
    const weir_value *root = weir_json_root(s->page);
    const weir_value *names = weir_json_get(root, "StreamNames");
    bool good = names != NULL && names->type == WEIR_V_ARRAY;
    for (uint32_t i = 0; good && i < names->size; i++) {
        weir_str name = weir_value_str(weir_value_element(names, i));
        good = name.len > 0 && name.len <= NAME_MAX_BYTES;
    }
    if (!good) {
        return weir_fail(s->ctx, s->error, WEIR_E_IO, WEIR_ERR_RETRYABLE,
                         "ListStreams answered something else: expected a list StreamNames");
    }
    s->next = names + 1;
    s->left = names->size;
    /* A page without names would be asked for without end. */
    s->last_page = s->left == 0 || !weir_json_get_bool(root, "HasMoreStreams", 0);
    return WEIR_OK;
}

/* The answer of ListStreams, once for each call that was begun. Strings of `r` end with it. */
static void on_streams(void *opaque, const weir_aws_response *r) {
    streams *s = opaque;
    s->waiting = false;
    if (r->kind == WEIR_AWS_OK) {
        s->status = read_page(s, r->body);
    } else if (r->kind == WEIR_AWS_CANCELLED) {
        s->status = WEIR_E_CANCELLED;
    } else {
        s->status =
            weir_aws_fail(s->ctx, s->error, atomic_load(&s->client), r, "cannot list the streams");
    }
}

/* Begins a call; the body is copied. */
static weir_status ask(streams *s) {
    char body[128 + 6 * NAME_MAX_BYTES];
    int len = snprintf(body, sizeof body, "{\"Limit\":%lld",
                       (long long)weir_opt_i64(s->ctx, OPT_KINESIS_STREAMS_PAGE));
    if (s->position_len > 0) {
        len += snprintf(body + len, sizeof body - (size_t)len, ",\"ExclusiveStartStreamName\":");
        len += (int)weir_json_write_str((weir_str){s->position, s->position_len}, body + len);
    }
    body[len++] = '}';
    weir_aws_call_args call = {
        .target = "Kinesis_20131202.ListStreams",
        .body = {body, (uint64_t)len},
        .timeout_ms = 10000, /* of an attempt; throttling and failures are tried again */
        .done = on_streams,
        .opaque = s,
    };
    weir_status status = weir_aws_call(atomic_load(&s->client), &call);
    s->waiting = status == WEIR_OK;
    return status;
}

/* A batch of the names that are there, as many as the host has room for. */
static weir_status give(streams *s, weir_poll *args) {
    const weir_api *api = weir_api_of(s->ctx);
    weir_batch_columns columns = {.struct_size = sizeof columns};
    weir_batch_seal seal = {.struct_size = sizeof seal, .split = {"0", 1}, .lag_ms = -1};
    uint32_t count = s->left < args->room_records ? s->left : args->room_records;
    const weir_value *at = s->next;
    weir_batch_builder *b = api->batch.begin(s->ctx, count, 0);
    if (b == NULL) return WEIR_E_NOMEM;
    if (api->batch.reserve(b, count, &columns) != WEIR_OK) goto failed;
    for (uint32_t i = 0; i < count; i++, at = weir_value_next(at)) {
        weir_str name = weir_value_str(at);
        char *copy = api->batch.alloc(b, name.len); /* lives as long as the batch */
        if (copy == NULL) goto failed;
        memcpy(copy, name.ptr, name.len);
        columns.value_ptr[i] = copy;
        columns.value_len[i] = (uint32_t)name.len;
        seal.resume = name;
    }
    if (api->batch.commit(b, count) != WEIR_OK) goto failed;
    args->batch = api->batch.seal(b, &seal);
    if (args->batch == NULL) return WEIR_E_NOMEM;
    memcpy(s->position, seal.resume.ptr, seal.resume.len);
    s->position_len = (uint32_t)seal.resume.len;
    s->next = at;
    s->left -= count;
    return WEIR_OK;
failed:
    api->batch.abandon(b);
    return WEIR_E_NOMEM;
}

static weir_status streams_poll(void *self, weir_poll *args) {
    streams *s = self;
    args->batch = NULL;
    args->event = NULL;
    args->next_ns = 0;
    if (atomic_load(&s->cancelled)) return WEIR_E_CANCELLED;
    if (!s->assigned) return WEIR_AGAIN;
    s->error = args->error;
    s->status = WEIR_OK;
    if (!s->waiting && s->left == 0) {
        if (s->last_page) return WEIR_END;
        if (args->room_records == 0) return WEIR_AGAIN; /* no new call under back pressure */
        s->status = ask(s);
    }
    /* Once, not until the answer is there: it also returns at the deadline and when woken. */
    if (s->waiting) weir_aws_drive(atomic_load(&s->client), args->deadline_ns);
    if (atomic_load(&s->cancelled)) return WEIR_E_CANCELLED;
    if (s->status != WEIR_OK) return s->status;
    if (s->left > 0 && args->room_records > 0) return give(s, args);
    if (!s->waiting && s->last_page && s->left == 0) return WEIR_END;
    if (s->waiting) args->next_ns = weir_mono_ns(s->ctx); /* come again at once, to drive on */
    return WEIR_AGAIN;
}

static void streams_wakeup(void *self) {
    weir_aws_client *client = atomic_load(&((streams *)self)->client);
    if (client != NULL) weir_aws_wakeup(client);
}

/* From any thread, also while poll waits in drive, or before open. */
static void streams_cancel(void *self) {
    atomic_store(&((streams *)self)->cancelled, true);
    streams_wakeup(self);
}

static weir_status streams_close(void *self, weir_close *args) {
    streams *s = self;
    weir_aws_client *client = atomic_load(&s->client);
    (void)args;
    if (client != NULL) weir_aws_cancel_all(client); /* completes the call, if there is one */
    s->assigned = false;
    s->last_page = false;
    s->left = 0;
    return WEIR_OK;
}

static const weir_source_ops ops = {
    .struct_size = sizeof ops,
    .create = streams_create,
    .destroy = streams_destroy,
    .open = streams_open,
    .assign = streams_assign,
    .poll = streams_poll,
    .cancel = streams_cancel,
    .wakeup = streams_wakeup,
    .close = streams_close,
};

static const weir_component source = {
    .struct_size = sizeof source,
    .kind = WEIR_KIND_SOURCE,
    .name = "kinesis_streams",
    .capabilities = WEIR_CAP_BOUNDED | WEIR_CAP_REPLAYABLE,
    .ops = &ops,
};
static const weir_component *const components[] = {&source};
static const weir_plugin plugin = {
    .struct_size = sizeof plugin,
    .abi_minor = WEIR_ABI_MINOR,
    .id = WEIR_PLUGIN_ID,
    .version = WEIR_PLUGIN_VERSION,
    .components = components,
    .component_count = 1,
};

WEIR_PLUGIN_ENTRY(plugin, WEIR_PLUGIN_REQUIRES_MINOR)
