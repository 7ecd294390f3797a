#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kinesis.h"
#include "request.h"
#include "weir/json.h"

/* 10 MiB of data are 14 MiB of base64, and 10,000 records have names around them. */
#define ANSWER_MAX (64u * 1024u * 1024u)
/* What an answer is taken for before any came, and the least that one is. */
#define ANSWER_GUESS (1024u * 1024u)
#define ANSWER_LEAST (16u * 1024u)
/* So many answers in a row that make no sense are no accident. */
#define REJECTIONS_MAX 10u
/* What the service lets all readers of a shard have together. */
#define SHARD_BYTES_PER_S (2.0 * 1024 * 1024)

static void get_iterator(shard *s);
static void on_iterator(void *opaque, const weir_aws_response *response);
static bool get_records_call(shard *s);
static bool reserve_answer(shard *s);
static char *body_alloc(void *opaque, uint64_t size, uint64_t *capacity);
static void return_reserved(shard *s);
static void body_gone(shard *s);
static void on_records(void *opaque, const weir_aws_response *response);
static void check_shard(shard *s);
static void on_checked(shard_list *list, weir_status status, const weir_aws_response *failed);
static bool settle_failure(shard *s, const weir_aws_response *r, const char *operation,
                           shard_state again);
static void back_off(shard *s, const weir_aws_response *r, const char *operation,
                     shard_state again);
static void give_up(shard *s, const weir_aws_response *r, const char *operation);
static bool rejected_too_often(shard *s);
static void later(shard *s);
static bool comes_back(shard *s);
static void read_children(shard *s);
static void end(shard *s);
static void drop_page(shard *s);
static void pace(shard *s);
static uint32_t records_wanted(const shard *s);

shard *shard_new(kinesis *k, weir_str id, weir_str private_bytes, weir_str position,
                 weir_error *error) {
    shard *s = calloc(1, sizeof *s);
    if (!s) {
        weir_fail(k->ctx, error, WEIR_E_NOMEM, 0, "out of memory for a shard");
        return NULL;
    }
    s->owner = k;
    s->lag_ms = s->told_lag_ms = -1;
    weir_str shard_id = id;
    if (k->options.stream_count > 1) {
        const char *colon = memchr(id.ptr, ':', (size_t)id.len);
        if (colon) {
            shard_id.ptr = colon + 1;
            shard_id.len = (uint64_t)(id.ptr + id.len - colon - 1);
        }
    }
    if (id.len >= sizeof s->split || shard_id.len > SHARD_ID_MAX || shard_id.len == 0 ||
        !private_decode(private_bytes, &s->plan) || !position_decode(&s->position, position)) {
        weir_fail(k->ctx, error, WEIR_E_INCOMPATIBLE, WEIR_ERR_FATAL,
                  "split %.*s carries a state that this version cannot read", (int)id.len, id.ptr);
        free(s);
        return NULL;
    }
    memcpy(s->split, id.ptr, (size_t)id.len);
    memcpy(s->id, shard_id.ptr, (size_t)shard_id.len);
    return s;
}

void shard_free(shard *s) {
    if (!s) return;
    drop_page(s);
    return_reserved(s);
    shard_list_free(&s->list);
    free(s);
}

bool shard_is_busy(const shard *s) {
    return s->state == SHARD_GETTING_ITERATOR || s->state == SHARD_READING ||
           s->state == SHARD_CHECKING;
}

bool shard_advance(shard *s, int64_t now_ns, int64_t *next_ns) {
    bool waits = s->state == SHARD_NEEDS_ITERATOR || s->state == SHARD_NEEDS_CHECK ||
                 s->state == SHARD_WAITING;
    if (waits && s->next_ns <= now_ns) {
        if (s->state == SHARD_NEEDS_ITERATOR)
            get_iterator(s);
        else if (s->state == SHARD_NEEDS_CHECK)
            check_shard(s);
        else if (!get_records_call(s))
            return false;
        /* The call may have been put off. */
        waits = !shard_is_busy(s);
    }
    if (waits && s->next_ns < *next_ns) *next_ns = s->next_ns;
    return true;
}

void shard_page_broken(shard *s) {
    kinesis *k = s->owner;
    const get_records *g = &s->parser;
    drop_page(s);
    weir_log(k->ctx, WEIR_LOG_WARN, "%s: GetRecords answered something else: %s at byte %llu",
             s->split, g->fault, (unsigned long long)(g->p - g->begin));
    s->state = SHARD_NEEDS_ITERATOR;
    if (rejected_too_often(s)) {
        k->fatal = weir_fail(k->ctx, k->error, WEIR_E_DATA, WEIR_ERR_FATAL,
                             "%s: GetRecords answered nonsense %u times in a row: %s", s->split,
                             s->rejections, g->fault);
        return;
    }
    s->next_ns = weir_mono_ns(k->ctx) + options_backoff_ns(k->ctx, &k->options, s->rejections);
}

void shard_reread(shard *s) {
    drop_page(s);
    if (shard_is_busy(s)) { /* already asking what became of the shard */
        s->owner->fatal = WEIR_E_NOMEM;
        return;
    }
    s->state = SHARD_NEEDS_ITERATOR;
    later(s);
}

void shard_page_stopped(shard *s) {
    drop_page(s);
    end(s);
}

/* ---- iterators ---- */

static void get_iterator(shard *s) {
    kinesis *k = s->owner;
    int64_t wall = weir_wall_us(k->ctx);
    bool fresh = s->position.sequence[0] == '\0';
    if (fresh && s->plan.start.kind == START_TIMESTAMP && s->plan.start.us > wall) {
        /* The service refuses moments that have not come yet. */
        int64_t wait_us = s->plan.start.us - wall;
        s->next_ns = weir_mono_ns(k->ctx) + (wait_us < 1000000 ? wait_us + 1000 : 1000000) * 1000;
        return;
    }
    char body[REQUEST_BYTES];
    weir_str text = {body, request_shard_iterator(body, sizeof body, &s->plan.stream, s->id,
                                                  &s->position, s->plan.start)};
    weir_aws_call_args call = {.target = "Kinesis_20131202.GetShardIterator",
                               .body = text,
                               .account = s->plan.stream.account[0] ? s->plan.stream.account : NULL,
                               .plane = "data",
                               .attempts = 1,
                               .timeout_ms = k->options.timeout_ms,
                               .done = on_iterator,
                               .opaque = s};
    if (weir_aws_call(k->client, &call) == WEIR_OK)
        s->state = SHARD_GETTING_ITERATOR;
    else
        later(s);
}

static void on_iterator(void *opaque, const weir_aws_response *r) {
    shard *s = opaque;
    kinesis *k = s->owner;
    s->state = SHARD_NEEDS_ITERATOR;
    if (!comes_back(s)) return;
    if (r->kind != WEIR_AWS_OK) {
        bool fresh = s->position.sequence[0] == '\0';
        int64_t ahead_us = s->plan.start.us - weir_wall_us(k->ctx);
        /* Our clock may run ahead of the service's, which then sees a moment in the future. */
        if (r->kind == WEIR_AWS_REFUSED && fresh && s->plan.start.kind == START_TIMESTAMP &&
            ahead_us > -10000000 && s->failures < REJECTIONS_MAX)
            back_off(s, r, "GetShardIterator", SHARD_NEEDS_ITERATOR);
        else if (!settle_failure(s, r, "GetShardIterator", SHARD_NEEDS_ITERATOR))
            give_up(s, r, "GetShardIterator");
        return;
    }
    weir_json_doc *doc = weir_json_read(r->body, 0, NULL);
    weir_str iterator = {"", 0};
    if (doc) iterator = weir_json_get_str(weir_json_root(doc), "ShardIterator", "");
    if (iterator.len == 0 || iterator.len > sizeof s->iterator) {
        if (rejected_too_often(s))
            k->fatal = weir_fail(k->ctx, k->error, WEIR_E_DATA, WEIR_ERR_FATAL,
                                 "%s: GetShardIterator answered no iterator", s->split);
        else
            back_off(s, r, "GetShardIterator", SHARD_NEEDS_ITERATOR);
    } else {
        memcpy(s->iterator, iterator.ptr, (size_t)iterator.len);
        s->iterator_len = (uint32_t)iterator.len;
        s->failures = 0;
        s->state = SHARD_WAITING;
        s->next_ns = s->called_ns ? s->called_ns + k->options.interval_ns : 0;
    }
    weir_json_free(doc);
}

/* ---- records ---- */

/* False without room for the answer. */
static bool get_records_call(shard *s) {
    kinesis *k = s->owner;
    if (!reserve_answer(s)) return false;
    char body[REQUEST_BYTES * 2];
    weir_str iterator = {s->iterator, s->iterator_len};
    s->limit = records_wanted(s);
    weir_str text = {body,
                     request_get_records(body, sizeof body, &s->plan.stream, iterator, s->limit)};
    weir_aws_call_args call = {.target = "Kinesis_20131202.GetRecords",
                               .body = text,
                               .account = s->plan.stream.account[0] ? s->plan.stream.account : NULL,
                               .plane = "data",
                               .attempts = 1,
                               .timeout_ms = k->options.timeout_ms,
                               .response_max = ANSWER_MAX,
                               .done = on_records,
                               .alloc = body_alloc,
                               .opaque = s};
    s->called_ns = weir_mono_ns(k->ctx);
    s->called_us = weir_wall_us(k->ctx);
    if (text.len && weir_aws_call(k->client, &call) == WEIR_OK) {
        s->state = SHARD_READING;
        k->reading++;
    } else {
        return_reserved(s);
        later(s);
    }
    return true;
}

static void on_records(void *opaque, const weir_aws_response *r) {
    shard *s = opaque;
    kinesis *k = s->owner;
    s->state = SHARD_WAITING;
    k->reading--;
    return_reserved(s);
    if (!comes_back(s)) return;
    if (r->kind != WEIR_AWS_OK) {
        body_gone(s);
        static const char expired[] = "ExpiredIteratorException";
        bool is_expired = r->code.len == sizeof expired - 1 &&
                          memcmp(r->code.ptr, expired, sizeof expired - 1) == 0;
        bool stale = r->kind == WEIR_AWS_REFUSED && r->http_status == 400 && s->rejections < 2;
        if (is_expired || stale) { /* an iterator lives for five minutes */
            if (!is_expired) s->rejections++;
            s->state = SHARD_NEEDS_ITERATOR;
            s->next_ns = 0;
        } else if (!settle_failure(s, r, "GetRecords", SHARD_WAITING)) {
            give_up(s, r, "GetRecords");
        }
        return;
    }
    s->failures = 0;
    uint64_t len = 0, capacity = 0;
    page *p = malloc(sizeof *p);
    char *body = p ? weir_http_take_body(r->http, &len, &capacity) : NULL;
    if (!body) {
        free(p);
        body_gone(s);
        later(s);
        return;
    }
    s->expected = k->usual = capacity > ANSWER_LEAST ? capacity : ANSWER_LEAST;
    atomic_init(&p->refs, 1);
    p->body = body;
    p->body_free = weir_api_of(k->ctx)->batch.segment_free;
    s->page = p;
    s->page_capacity = capacity;
    s->page_values = 0;
    s->page_records = s->page_batches = 0;
    get_records_begin(&s->parser, body, len);
    s->state = SHARD_HOLDING;
}

void shard_page_used(shard *s) {
    get_records *g = &s->parser;
    s->lag_ms = g->millis_behind;
    if (s->page_records > 0) {
        double mean = (double)s->page_values / s->page_records;
        s->mean_bytes = s->mean_bytes > 0 ? s->mean_bytes * 0.8 + mean * 0.2 : mean;
    }
    /* Everything up to `lag` before the call was read: is that behind the end? */
    bool behind_stop = s->plan.stop_us != STOP_NEVER && g->millis_behind >= 0 &&
                       s->page_records < s->limit &&
                       s->called_us - g->millis_behind * 1000 >= s->plan.stop_us;
    if (behind_stop) {
        end(s);
    } else if (g->has_next && g->next_iterator.len <= sizeof s->iterator) {
        memcpy(s->iterator, g->next_iterator.ptr, (size_t)g->next_iterator.len);
        s->iterator_len = (uint32_t)g->next_iterator.len;
        s->state = SHARD_WAITING;
        pace(s);
    } else if (g->children.len > 0) {
        read_children(s);
    } else {
        /* No iterator and no children: an end is a pair of facts, so ask. */
        check_shard(s);
    }
    s->rejections = 0;
    drop_page(s);
}

static void drop_page(shard *s) {
    if (s->page) page_release(s->page);
    s->page = NULL;
    body_gone(s);
}

/* ---- the budget ----
 *
 *   before the call   `expected` bytes are reserved, or the call waits
 *   its size is known the reservation gives way to the buffer; too large for the budget: refused,
 *                     and asked for again when there is room for what is then expected
 *   page used up      the buffer belongs to the batches alone
 *
 * A call that is alone may have its answer whatever the budget says, or a small budget would stop
 * all reading. */

static bool reserve_answer(shard *s) {
    kinesis *k = s->owner;
    uint64_t bytes = s->expected ? s->expected : k->usual ? k->usual : ANSWER_GUESS;
    weir_status status = weir_api_of(k->ctx)->memory.reserve(k->ctx, bytes);
    if (status == WEIR_OK) s->reserved = bytes;
    return status != WEIR_E_NOMEM || (k->reading == 0 && k->bodies == 0);
}

static char *body_alloc(void *opaque, uint64_t size, uint64_t *capacity) {
    shard *s = opaque;
    kinesis *k = s->owner;
    const weir_api *api = weir_api_of(k->ctx);
    bool alone = k->reading == 1 && k->bodies == (s->has_body ? 1 : 0);
    if (size > s->reserved) {
        uint64_t more = size - s->reserved;
        weir_status status = api->memory.reserve(k->ctx, more);
        if (status == WEIR_OK) s->reserved += more;
        if (status == WEIR_E_NOMEM && !alone) {
            s->expected = size;
            return NULL;
        }
    }
    return_reserved(s); /* first, so that the same bytes never count twice */
    char *body = api->batch.segment_alloc(k->ctx, size, capacity);
    if (body && !s->has_body) {
        s->has_body = true;
        k->bodies++;
    }
    return body;
}

static void return_reserved(shard *s) {
    if (s->reserved) weir_api_of(s->owner->ctx)->memory.release(s->owner->ctx, s->reserved);
    s->reserved = 0;
}

static void body_gone(shard *s) {
    if (s->has_body) s->owner->bodies--;
    s->has_body = false;
}

/* ---- the end of a shard ---- */

static void read_children(shard *s) {
    weir_json_doc *doc = weir_json_read(s->parser.children, 0, NULL);
    const weir_value *list = doc ? weir_json_root(doc) : NULL;
    s->child_count = 0;
    if (list && list->type == WEIR_V_ARRAY) {
        const weir_value *v = list + 1;
        for (uint32_t i = 0; i < list->size && s->child_count < CHILDREN_MAX; i++) {
            weir_str id = weir_json_get_str(v, "ShardId", "");
            const weir_value *parents = weir_json_get(v, "ParentShards");
            child_shard *c = &s->children[s->child_count];
            memset(c, 0, sizeof *c);
            if (id.len > 0 && id.len <= SHARD_ID_MAX) {
                memcpy(c->id, id.ptr, (size_t)id.len);
                uint32_t taken = 0;
                const weir_value *p = parents && parents->type == WEIR_V_ARRAY ? parents + 1 : NULL;
                for (uint32_t j = 0; p && j < parents->size && taken < 2; j++) {
                    weir_str name = weir_value_str(p);
                    if (name.len > 0 && name.len <= SHARD_ID_MAX)
                        memcpy(c->parents[taken++], name.ptr, (size_t)name.len);
                    p = weir_value_next(p);
                }
                s->child_count++;
            }
            v = weir_value_next(v);
        }
    }
    weir_json_free(doc);
    if (s->child_count > 0)
        end(s);
    else
        check_shard(s);
}

static void check_shard(shard *s) {
    kinesis *k = s->owner;
    shard_list_free(&s->list);
    memset(&s->list, 0, sizeof s->list);
    s->list.client = k->client;
    s->list.stream = &s->plan.stream;
    s->list.timeout_ms = k->options.timeout_ms;
    s->list.done = on_checked;
    s->list.opaque = s;
    s->state = SHARD_CHECKING;
    if (shard_list_start(&s->list) != WEIR_OK) {
        s->state = SHARD_NEEDS_CHECK;
        later(s);
    }
}

static void on_checked(shard_list *list, weir_status status, const weir_aws_response *failed) {
    shard *s = list->opaque;
    kinesis *k = s->owner;
    s->state = SHARD_NEEDS_CHECK;
    if (!comes_back(s)) return;
    if (status != WEIR_OK) {
        if (failed && failed->kind == WEIR_AWS_CANCELLED) return;
        if (failed && (failed->kind == WEIR_AWS_THROTTLED || failed->kind == WEIR_AWS_TRANSIENT))
            back_off(s, failed, "ListShards", SHARD_NEEDS_CHECK);
        else if (failed && failed->status != WEIR_E_NOMEM)
            give_up(s, failed, "ListShards");
        else if (status != WEIR_E_NOMEM && rejected_too_often(s))
            k->fatal = weir_fail(k->ctx, k->error, WEIR_E_DATA, WEIR_ERR_FATAL,
                                 "%s: the answer is not one of ListShards", s->split);
        else
            later(s);
        return;
    }
    s->failures = 0;
    s->state = SHARD_NEEDS_ITERATOR;
    const shard_info *self = NULL;
    s->child_count = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        const shard_info *info = &list->shards[i];
        if (strcmp(info->id, s->id) == 0) self = info;
        if (strcmp(info->parent, s->id) != 0 && strcmp(info->adjacent, s->id) != 0) continue;
        if (s->child_count == CHILDREN_MAX) continue;
        child_shard *c = &s->children[s->child_count++];
        memset(c, 0, sizeof *c);
        memcpy(c->id, info->id, sizeof c->id);
        memcpy(c->parents[0], info->parent, sizeof c->parents[0]);
        memcpy(c->parents[1], info->adjacent, sizeof c->parents[1]);
    }
    if (self && !self->closed) {
        /* Still open: the answer was wrong. Ask again where we are. */
        s->next_ns = weir_mono_ns(k->ctx) + k->options.interval_ns;
        return;
    }
    if (!self)
        weir_log(k->ctx, WEIR_LOG_WARN,
                 "%s is not there any more: what it held and was not read has expired", s->split);
    end(s);
}

static void end(shard *s) {
    s->state = SHARD_ENDED;
    s->lag_ms = 0;
}

/* ---- failures ---- */

/* False if nothing can be done about it. */
static bool settle_failure(shard *s, const weir_aws_response *r, const char *operation,
                           shard_state again) {
    switch (r->kind) {
    case WEIR_AWS_THROTTLED:
    case WEIR_AWS_TRANSIENT:
        back_off(s, r, operation, again);
        return true;
    case WEIR_AWS_CANCELLED:
        s->state = again;
        return true;
    case WEIR_AWS_NOT_FOUND:
        check_shard(s);
        return true; /* the shard, or the whole stream? */
    default:
        if (r->status == WEIR_E_NOMEM) { /* the budget is spent: what is held will be given back */
            s->state = again;
            later(s);
            return true;
        }
        return false;
    }
}

static void back_off(shard *s, const weir_aws_response *r, const char *operation,
                     shard_state again) {
    kinesis *k = s->owner;
    s->failures++;
    if (s->failures >= k->options.attempts) {
        give_up(s, r, operation);
        return;
    }
    int64_t delay = options_backoff_ns(k->ctx, &k->options, s->failures);
    if (r->retry_after_ms > 0 && delay < r->retry_after_ms * KINESIS_MS)
        delay = r->retry_after_ms * KINESIS_MS;
    s->state = again;
    s->next_ns = weir_mono_ns(k->ctx) + delay;
    /* The first, second, fourth, ... failure: a lasting trouble is told ever more rarely.
     * Throttling is daily life on a shared shard and told only if it lasts. */
    uint32_t first = r->kind == WEIR_AWS_THROTTLED ? 8 : 1;
    if (s->failures < first || (s->failures & (s->failures - 1)) != 0) return;
    weir_log(k->ctx, WEIR_LOG_WARN, "%s: %s failed %u times, trying again: %.*s%s%.*s", s->split,
             operation, s->failures, (int)r->code.len, r->code.ptr,
             r->code.len && r->message.len ? ": " : "",
             (int)(r->message.len < 512 ? r->message.len : 512), r->message.ptr);
}

static void give_up(shard *s, const weir_aws_response *r, const char *operation) {
    kinesis *k = s->owner;
    char what[512], tries[64] = "";
    if (s->failures >= k->options.attempts)
        snprintf(tries, sizeof tries, ", attempt %u of %lld", s->failures,
                 (long long)k->options.attempts);
    snprintf(what, sizeof what, "stream %s, %s: %s%s", s->plan.stream.name, s->id, operation,
             tries);
    if (k->fatal == WEIR_OK) {
        k->fatal = weir_aws_fail_last(k->ctx, k->error, k->client, r, what);
        /* A number that this shard has never given. */
        if (s->position.sequence[0] && weir_str_is(r->code, "InvalidArgumentException"))
            weir_fail_hint(
                k->ctx, k->error,
                "if the stream was deleted and made again, the position that was kept is of "
                "the old one: begin anew with --from none");
    }
    s->state = SHARD_DONE;
}

/* Answers that make no sense count as failed attempts, and have an end even if those have none. */
static bool rejected_too_often(shard *s) {
    s->rejections++;
    return s->rejections >= REJECTIONS_MAX || s->rejections >= s->owner->options.attempts;
}

/* For want of memory here, which no other attempt of the service's would help. */
static void later(shard *s) {
    s->next_ns = weir_mono_ns(s->owner->ctx) + s->owner->options.retry_base_ns;
}

/* False if the shard was dropped while its call was under way: nobody wants the answer. */
static bool comes_back(shard *s) {
    if (!s->dropped) return true;
    shard_free(s);
    return false;
}

/* ---- pace ---- */

static void pace(shard *s) {
    kinesis *k = s->owner;
    int64_t wait = s->page_records > 0 ? k->options.interval_ns : k->options.empty_ns;
    if (k->quota) {
        /* An answer of 10 MiB makes the service refuse the next five seconds: do not ask. */
        int64_t earned = (int64_t)((double)s->page_values / SHARD_BYTES_PER_S * 1e9);
        if (earned > wait) wait = earned;
    }
    s->next_ns = s->called_ns + wait;
}

static uint32_t records_wanted(const shard *s) {
    const kinesis_options *o = &s->owner->options;
    if (!o->adaptive || s->mean_bytes <= 0) return o->records_per_call;
    double seconds = (double)o->interval_ns / 1e9;
    double want = SHARD_BYTES_PER_S * seconds / s->mean_bytes;
    if (want < 1) return 1;
    return want > 10000 ? 10000 : (uint32_t)want;
}
