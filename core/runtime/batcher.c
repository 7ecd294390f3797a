#include "runtime/batcher_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/str.h"

/* A sink that lets a token's deadline pass by this much without a word is at fault. */
#define OVERDUE_NS (30 * CLOCK_NS_PER_S)
/* A group without records is forgotten after this long: paths by the hour would pile up. */
#define GROUP_IDLE_NS (60 * CLOCK_NS_PER_S)
/* Tokens: slot index in the low bits, a serial number above, so that none is ever reused soon. */
#define TOKEN_SLOT_BITS 20

static weir_status template_column(instance *i, const weir_request *r, const char *key,
                                   const char *entry, const weir_column **out);

batcher *batcher_new(const plan_stage *stage, instance *sink, const weir_limits *limits,
                     failures *f, counters *c, const template_env *env, weir_error *err) {
    batcher *b = calloc(1, sizeof *b);
    if (b == NULL) {
        error_set(err, WEIR_E_NOMEM, 0, "out of memory");
        return NULL;
    }
    const batch_spec *spec = &stage->node->batch;
    b->stage = stage;
    b->node = stage->node;
    b->sink = sink;
    b->epoch = 1;
    b->limits = *limits;
    b->failures = f;
    b->counters = c;
    b->env = env;
    b->buffered = (sink->bound->capabilities & WEIR_CAP_BUFFERED) != 0;
    b->max_records = limits->request_records > 0 ? limits->request_records : UINT32_MAX;
    b->max_bytes = limits->request_bytes > 0 ? limits->request_bytes : UINT64_MAX;
    if (spec->records > 0 && spec->records < b->max_records) b->max_records = spec->records;
    if (spec->bytes > 0 && spec->bytes < b->max_bytes) b->max_bytes = spec->bytes;
    if (b->limits.in_flight == 0) b->limits.in_flight = 1;
    if (spec->in_flight > 0 && spec->in_flight < b->limits.in_flight) {
        b->limits.in_flight = spec->in_flight;
    }
    b->ordered = b->buffered || b->limits.in_flight == 1;
    b->headers = sink->bound->note->needs_headers;
    b->meta = sink->bound->note->needs_meta_count > 0;
    b->groups_by_key = map_new();
    b->why = error_new();
    if (b->groups_by_key == NULL || b->why == NULL) {
        error_set(err, WEIR_E_NOMEM, 0, "out of memory");
        batcher_free(b);
        return NULL;
    }
    if (template_set_init(&b->templates, &stage->node->options, env, err) != WEIR_OK) {
        batcher_free(b);
        return NULL;
    }
    sink->template_owner = b;
    sink->template_column = template_column;
    return b;
}

/* ---- runs ---- */

run *batcher_run_new(batcher *b, work *w, uint32_t first, uint32_t count) {
    run *u = b->spare_runs;
    if (u != NULL) {
        b->spare_runs = u->next;
    } else {
        u = malloc(sizeof *u);
        if (u == NULL) abort(); /* 56 bytes: a run that is lost is records that are lost */
    }
    *u = (run){.work = w, .first = first, .count = count};
    w->refs++;
    return u;
}

static void run_free(batcher *b, run *u) {
    work_release(u->work);
    u->next = b->spare_runs;
    b->spare_runs = u;
}

uint64_t batcher_run_bytes(const batcher *b, const run *u) {
    const weir_rows *rows = u->work->batch->rows;
    uint64_t overhead = (uint64_t)b->limits.record_overhead * u->count;
    if (u->first == 0 && u->count == rows->count) return rows->value_bytes + overhead;
    uint64_t bytes = overhead;
    for (uint32_t i = u->first; i < u->first + u->count; i++) bytes += rows->value_len[i];
    return bytes;
}

/* What records of a batch count against the byte bound of the queue. */
uint64_t batcher_weight(const work *w, uint32_t first, uint32_t records) {
    const weir_rows *rows = w->batch->rows;
    if (first == 0 && records == rows->count) return channel_batch_weight(w->batch);
    uint64_t sum = UINT64_C(16) * records;
    for (uint32_t i = first; i < first + records; i++) sum += rows->value_len[i];
    return sum;
}

void batcher_runs_free(batcher *b, run *u) {
    while (u != NULL) {
        run *next = u->next;
        run_free(b, u);
        u = next;
    }
}

/* Without memory the id is lost, and the next group gets a new one. */
static void give_id_back(batcher *b, uint32_t id) {
    if (b->free_count == b->free_cap) {
        uint32_t cap = b->free_cap == 0 ? 16 : b->free_cap * 2;
        uint32_t *ids = realloc(b->free_ids, cap * sizeof *ids);
        if (ids == NULL) return;
        b->free_ids = ids;
        b->free_cap = cap;
    }
    b->free_ids[b->free_count++] = id;
}

static void group_free(batcher *b, group *g) {
    give_id_back(b, g->id);
    batcher_runs_free(b, g->first);
    batcher_runs_free(b, g->retry);
    map_remove(b->groups_by_key, g->key);
    free((char *)(uintptr_t)g->key.ptr);
    free(g);
}

void batcher_free(batcher *b) {
    if (b == NULL) return;
    for (uint32_t s = 0; s < b->slot_count; s++) {
        if (b->slots[s] == NULL) continue;
        batcher_runs_free(b, b->slots[s]->runs);
        request_free(b->slots[s]);
    }
    free(b->slots);
    while (b->groups != NULL) {
        group *g = b->groups;
        b->groups = g->next;
        group_free(b, g);
    }
    while (b->spare != NULL) {
        request *r = b->spare;
        b->spare = r->next;
        request_free(r);
    }
    while (b->spare_runs != NULL) {
        run *u = b->spare_runs;
        b->spare_runs = u->next;
        free(u);
    }
    free(b->free_ids);
    template_set_free(&b->templates);
    map_free(b->groups_by_key);
    error_free(b->why);
    free(b);
}

/* ---- queueing ---- */

const template_set *batcher_templates(const batcher *b) {
    return &b->templates;
}

static group *group_find(batcher *b, weir_str key) {
    group *g = map_get(b->groups_by_key, key);
    if (g != NULL) return g;
    g = calloc(1, sizeof *g);
    char *text = malloc(key.len + 1);
    if (g == NULL || text == NULL) goto no_memory;
    memcpy(text, key.ptr, key.len);
    g->key = str_make(text, key.len);
    g->id = b->free_count > 0 ? b->free_ids[--b->free_count] : b->next_group++;
    g->window = b->limits.in_flight;
    if (!map_put(b->groups_by_key, g->key, g)) goto no_memory;
    g->next = b->groups;
    b->groups = g;
    return g;

no_memory:
    free(text);
    free(g);
    return NULL;
}

static void group_push(batcher *b, group *g, run *u) {
    if (g->first == NULL && g->retry == NULL) g->oldest_ns = clock_mono_ns(&clock_system);
    u->next = NULL;
    if (g->first != NULL) {
        g->last->next = u;
    } else {
        g->first = u;
    }
    g->last = u;
    g->queued_records += u->count;
    g->queued_bytes += batcher_run_bytes(b, u);
}

/* The grouping texts of one row, joined with NUL bytes. */
static void group_key(const batcher *b, const prepared *p, uint32_t row, buf *out) {
    buf_reset(out);
    for (uint32_t s = 0; s < b->templates.count; s++) {
        if (!b->templates.slots[s].grouping) continue;
        buf_append_str(out, prepared_text(p, s, row));
        buf_append_char(out, '\0');
    }
}

/* One run for each stretch of rows with the same grouping texts. */
static weir_status add_grouped(batcher *b, work *w, weir_error *err) {
    buf key, next;
    buf_init(&key, 1 << 20);
    buf_init(&next, 1 << 20);
    weir_status status = WEIR_OK;
    uint32_t count = w->batch->rows->count;
    for (uint32_t first = 0; first < count;) {
        group_key(b, w->texts, first, &key);
        uint32_t end = first + 1;
        for (; end < count; end++) {
            group_key(b, w->texts, end, &next);
            if (!str_eq(buf_str(&key), buf_str(&next))) break;
        }
        group *g = buf_ok(&key) && buf_ok(&next) ? group_find(b, buf_str(&key)) : NULL;
        if (g == NULL) {
            status = error_set(err, WEIR_E_NOMEM, 0, "out of memory for a group of records");
            break;
        }
        group_push(b, g, batcher_run_new(b, w, first, end - first));
        first = end;
    }
    buf_free(&key);
    buf_free(&next);
    return status;
}

/* Gives up the records that are larger than the sink can take at all. Replaces `*batch`. */
static weir_status refuse_large(batcher *b, const weir_batch **batch, prepared *p,
                                weir_error *err) {
    const weir_rows *rows = (*batch)->rows;
    if (b->limits.record_bytes == 0) return WEIR_OK;
    uint32_t largest = 0;
    for (uint32_t i = 0; i < rows->count; i++) {
        if (rows->value_len[i] > largest) largest = rows->value_len[i];
    }
    if (largest <= b->limits.record_bytes) return WEIR_OK;
    uint32_t *keep = malloc(2 * rows->count * sizeof *keep);
    if (keep == NULL) return error_set(err, WEIR_E_NOMEM, 0, "out of memory");
    uint32_t *drop = keep + rows->count;
    uint32_t kept = 0, dropped = 0;
    weir_status status = WEIR_OK;
    for (uint32_t i = 0; i < rows->count && status == WEIR_OK; i++) {
        if (rows->value_len[i] <= b->limits.record_bytes) {
            keep[kept++] = i;
            continue;
        }
        drop[dropped++] = i;
        error_clear(b->why);
        error_set(b->why, WEIR_E_TOO_LARGE, WEIR_ERR_PER_RECORD,
                  "a record of %u bytes is larger than the sink takes (%llu bytes)",
                  rows->value_len[i], (unsigned long long)b->limits.record_bytes);
        status = failures_record(b->failures, *batch, i, b->why, 1, err);
    }
    if (status == WEIR_OK) {
        const weir_batch *rest =
            kept > 0 ? batch_select(b->sink->head.home, *batch, keep, kept) : NULL;
        if (kept > 0 && rest == NULL) {
            status = error_set(err, WEIR_E_NOMEM, 0, "out of memory");
        } else {
            prepared_drop(&b->templates, p, drop, dropped);
            batch_release(*batch);
            *batch = rest;
            status = failures_flush(b->failures, err);
        }
    }
    free(keep);
    return status;
}

weir_status batcher_add(batcher *b, const weir_batch *batch, prepared *p, weir_error *err) {
    if (batch->rows->count == 0) { /* would stand in the queue for ever */
        prepared_free(p);
        batch_release(batch);
        return WEIR_OK;
    }
    weir_status status = refuse_large(b, &batch, p, err);
    work *w = status == WEIR_OK && batch != NULL ? calloc(1, sizeof *w) : NULL;
    if (w == NULL) {
        prepared_free(p);
        batch_release(batch);
        if (status == WEIR_OK && batch != NULL) {
            status = error_set(err, WEIR_E_NOMEM, 0, "out of memory");
        }
        return status;
    }
    *w = (work){.batch = batch, .texts = p, .refs = 1, .serial = ++b->works};
    b->records += batch->rows->count;
    b->bytes += channel_batch_weight(batch);
    if (b->templates.grouping) {
        status = add_grouped(b, w, err);
    } else {
        group *g = group_find(b, str_of(""));
        if (g == NULL) {
            status = error_set(err, WEIR_E_NOMEM, 0, "out of memory");
        } else {
            group_push(b, g, batcher_run_new(b, w, 0, batch->rows->count));
        }
    }
    work_release(w);
    return status;
}

bool batcher_room(const batcher *b) {
    return b->records < b->node->batch.buffered && b->bytes < b->stage->buffered_bytes;
}

void batcher_set_epoch(batcher *b, uint64_t epoch) {
    b->epoch = epoch;
}

bool batcher_blocked(const batcher *b) {
    return b->blocked;
}

bool batcher_idle(const batcher *b) {
    return b->records == 0;
}

uint64_t batcher_pending(const batcher *b) {
    return b->records;
}

/* ---- requests ---- */

static weir_status template_column(instance *i, const weir_request *abi, const char *key,
                                   const char *entry, const weir_column **out) {
    batcher *b = i->template_owner;
    request *r = (request *)(void *)(uintptr_t)abi;
    for (uint32_t s = 0; s < b->templates.count; s++) {
        const template_slot *slot = &b->templates.slots[s];
        if (!str_eq_z(slot->key, key)) continue;
        if ((entry == NULL) != (slot->entry.ptr == NULL)) continue;
        if (entry != NULL && !str_eq_z(slot->entry, entry)) continue;
        return request_template(r, &b->templates, s, out);
    }
    return WEIR_E_NOT_FOUND;
}

/* Moves up to the limits of one request from a queue to `r`; cuts a run in two where needed. */
static void take_runs(batcher *b, group *g, run **queue, request *r, int64_t now) {
    run **tail = &r->runs;
    while (*queue != NULL) {
        run *u = *queue;
        if (u->not_before_ns > now) break;
        if (u->alone && r->records > 0) break;
        uint64_t bytes = batcher_run_bytes(b, u);
        uint32_t fits = u->count;
        if (u->alone) fits = 1;
        if (fits > b->max_records - r->records) fits = b->max_records - r->records;
        if (r->bytes + bytes > b->max_bytes || fits < u->count) {
            const weir_rows *rows = u->work->batch->rows;
            uint64_t sum = 0;
            uint32_t k = 0;
            for (; k < fits; k++) {
                uint64_t one = (uint64_t)rows->value_len[u->first + k] + b->limits.record_overhead;
                /* A request holds at least one record, however large. */
                if (r->bytes + sum + one > b->max_bytes && r->records + k > 0) break;
                sum += one;
            }
            fits = k;
            bytes = sum;
        }
        if (fits == 0) break;
        run *taken = u;
        if (fits < u->count) {
            taken = batcher_run_new(b, u->work, u->first, fits);
            taken->attempts = u->attempts;
            taken->alone = u->alone;
            u->first += fits;
            u->count -= fits;
        } else {
            *queue = u->next;
        }
        taken->next = NULL;
        *tail = taken;
        tail = &taken->next;
        r->records += taken->count;
        r->bytes += bytes;
        g->queued_records -= taken->count;
        g->queued_bytes -= bytes;
        if (taken->alone || r->records >= b->max_records || r->bytes >= b->max_bytes) break;
    }
}

static request *request_take(batcher *b) {
    request *r = b->spare;
    if (r != NULL) {
        b->spare = r->next;
        r->next = NULL;
        return r;
    }
    return request_new();
}

void batcher_request_give(batcher *b, request *r) {
    request_reset(r);
    r->next = b->spare;
    b->spare = r;
}

/* Puts runs back at the head of the queue they came from, in order: the sink did not take them. */
static void put_back(batcher *b, group *g, run **queue, run *first) {
    run *last = NULL;
    for (run *u = first; u != NULL; u = u->next) {
        g->queued_records += u->count;
        g->queued_bytes += batcher_run_bytes(b, u);
        last = u;
    }
    if (last == NULL) return;
    last->next = *queue;
    *queue = first;
    if (queue == &g->first && last->next == NULL) g->last = last;
}

static weir_status slot_for(batcher *b, request *r) {
    uint32_t s = 0;
    while (s < b->slot_count && b->slots[s] != NULL) s++;
    if (s == b->slot_cap) {
        uint32_t cap = b->slot_cap == 0 ? 8 : b->slot_cap * 2;
        request **slots = realloc(b->slots, cap * sizeof *slots);
        if (slots == NULL) return WEIR_E_NOMEM;
        b->slots = slots;
        b->slot_cap = cap;
    }
    if (s == b->slot_count) b->slot_count++;
    b->slots[s] = r;
    r->token = ++b->serial << TOKEN_SLOT_BITS | s;
    return WEIR_OK;
}

static request *slot_of(batcher *b, uint64_t token) {
    uint64_t s = token & ((1u << TOKEN_SLOT_BITS) - 1);
    return s < b->slot_count && b->slots[s] != NULL && b->slots[s]->token == token ? b->slots[s]
                                                                                   : NULL;
}

void batcher_slot_clear(batcher *b, const request *r) {
    uint64_t s = r->token & ((1u << TOKEN_SLOT_BITS) - 1);
    if (b->slots[s] == r) b->slots[s] = NULL;
}

/* Splits the runs of `r` behind its first `taken` records; answers the rest. */
static run *cut_runs(batcher *b, request *r, uint32_t taken) {
    run **at = &r->runs;
    uint32_t left = taken;
    while (*at != NULL && left >= (*at)->count) {
        left -= (*at)->count;
        at = &(*at)->next;
    }
    run *rest = *at;
    if (rest != NULL && left > 0) {
        run *head = batcher_run_new(b, rest->work, rest->first, left);
        head->attempts = rest->attempts;
        head->alone = rest->alone;
        rest->first += left;
        rest->count -= left;
        *at = head;
    } else {
        *at = NULL;
    }
    r->records = taken;
    return rest;
}

/* Gathers one request out of `queue` and writes it. `*progress` tells whether anything moved. */
static weir_status write_one(batcher *b, group *g, run **queue, int64_t now, bool *progress,
                             weir_error *err) {
    request *r = request_take(b);
    if (r == NULL) return error_set(err, WEIR_E_NOMEM, 0, "out of memory for a request");
    take_runs(b, g, queue, r, now);
    if (g->first == NULL) g->last = NULL;
    r->group = g;
    r->abi.group = g->id;
    if (r->records == 0) {
        batcher_request_give(b, r);
        return WEIR_OK;
    }
    if (request_gather(r, b->headers, b->meta) != WEIR_OK || slot_for(b, r) != WEIR_OK) {
        put_back(b, g, queue, r->runs);
        batcher_request_give(b, r);
        return error_set(err, WEIR_E_NOMEM, 0, "out of memory for a request");
    }
    r->deadline_ns = now + b->node->retry.timeout_ns;
    weir_write args = {.struct_size = sizeof args,
                       .request = &r->abi,
                       .token = r->token,
                       .epoch = b->epoch,
                       .deadline_ns = r->deadline_ns,
                       .error = err};
    error_clear(err); /* what an earlier failure left must not pass for this one's */
    weir_status status = b->sink->bound->ops.sink.write(b->sink->self, &args);
    if (status == WEIR_OK && args.taken > r->records) {
        return error_set(err, WEIR_E_INTERNAL, WEIR_ERR_FATAL,
                         "%s: write took %u of %u records: a fault of the plugin", b->sink->where,
                         args.taken, r->records);
    }
    if (status != WEIR_OK || args.taken == 0) {
        batcher_slot_clear(b, r);
        if (status == WEIR_OK || status == WEIR_AGAIN) {
            b->blocked = true;
            put_back(b, g, queue, r->runs);
            batcher_request_give(b, r);
            return WEIR_OK;
        }
        /* The request as a whole failed without a token: judge it like a completion. */
        weir_error *copy = error_new();
        error_copy(copy, err);
        completion c = {.token = r->token, .status = status, .error = copy};
        b->under_way++;
        g->in_flight++;
        *progress = true;
        status = batcher_settle(b, r, &c, err);
        error_free(copy);
        return status;
    }
    if (args.taken < r->records) put_back(b, g, queue, cut_runs(b, r, args.taken));
    b->under_way++;
    g->in_flight++;
    *progress = true;
    return WEIR_OK;
}

/* ---- completions ---- */

static weir_status take_completions(batcher *b, bool *progress, weir_error *err) {
    weir_status status = WEIR_OK;
    for (completion *c = instance_take_completions(b->sink); c != NULL;) {
        completion *next = c->next;
        request *r = slot_of(b, c->token);
        if (r == NULL) {
            log_write(WEIR_LOG_ERROR, b->sink->component,
                      "%s: a completion for token %llu, which is not under way: a fault of the "
                      "plugin",
                      b->sink->where, (unsigned long long)c->token);
        } else if (status == WEIR_OK) {
            *progress = true;
            status = batcher_settle(b, r, c, err);
        }
        completion_free(c);
        c = next;
    }
    return status;
}

/* ---- the pump ---- */

static bool full(const batcher *b, const group *g) {
    return g->queued_records >= b->max_records || g->queued_bytes >= b->max_bytes;
}

/* Which queue of a group may be written from now, or NULL. */
static run **ready(const batcher *b, group *g, bool cut, int64_t now) {
    if (g->in_flight >= (uint32_t)g->window) return NULL;
    if (g->retry != NULL && g->retry->not_before_ns <= now) return &g->retry;
    if (g->retry != NULL && b->ordered) return NULL; /* what follows must not overtake it */
    if (g->first == NULL) return NULL;
    if (cut || full(b, g)) return &g->first;
    if (b->node->batch.linger_ns > 0) {
        return now - g->oldest_ns >= b->node->batch.linger_ns ? &g->first : NULL;
    }
    return g->in_flight == 0 ? &g->first : NULL; /* send at once when idle, gather while busy */
}

static void forget_idle_groups(batcher *b, int64_t now) {
    for (group **at = &b->groups; *at != NULL;) {
        group *g = *at;
        bool idle = g->in_flight == 0 && g->first == NULL && g->retry == NULL;
        if (!idle) {
            g->idle_since_ns = 0;
        } else if (g->idle_since_ns == 0) {
            g->idle_since_ns = now;
        } else if (now - g->idle_since_ns > GROUP_IDLE_NS) {
            *at = g->next;
            group_free(b, g);
            continue;
        }
        at = &g->next;
    }
}

static weir_status check_overdue(const batcher *b, int64_t now, weir_error *err) {
    for (uint32_t s = 0; s < b->slot_count; s++) {
        const request *r = b->slots[s];
        if (r == NULL || now < r->deadline_ns + OVERDUE_NS) continue;
        return error_set(err, WEIR_E_TIMEOUT, WEIR_ERR_FATAL,
                         "%s: a request of %u records was never completed, %lld s after its "
                         "deadline: a fault of the plugin",
                         b->sink->where, r->records, (long long)(OVERDUE_NS / CLOCK_NS_PER_S));
    }
    return WEIR_OK;
}

weir_status batcher_pump(batcher *b, bool cut, weir_error *err) {
    b->blocked = false;
    for (bool progress = true; progress;) {
        progress = false;
        weir_status status = take_completions(b, &progress, err);
        if (status != WEIR_OK) return status;
        int64_t now = clock_mono_ns(&clock_system);
        for (group *g = b->groups; g != NULL && !b->blocked; g = g->next) {
            run **queue = ready(b, g, cut, now);
            if (queue == NULL) continue;
            status = write_one(b, g, queue, now, &progress, err);
            if (status != WEIR_OK) return status;
            if (g->first != NULL) g->oldest_ns = now;
        }
    }
    int64_t now = clock_mono_ns(&clock_system);
    if (b->templates.grouping) forget_idle_groups(b, now);
    return check_overdue(b, now, err);
}

int64_t batcher_next_ns(const batcher *b) {
    int64_t next = INT64_MAX;
    if (b->blocked) return next; /* a wake or the next drive */
    for (const group *g = b->groups; g != NULL; g = g->next) {
        /* A full window opens with a completion: a time that is past already would only spin. */
        if (g->in_flight >= (uint32_t)g->window) continue;
        if (g->retry != NULL && g->retry->not_before_ns < next) next = g->retry->not_before_ns;
        if (g->retry != NULL && b->ordered) continue;
        if (g->first != NULL && b->node->batch.linger_ns > 0) {
            int64_t due = g->oldest_ns + b->node->batch.linger_ns;
            if (due < next) next = due;
        }
    }
    return next;
}
