/*
 * The status of a running pipeline as one JSON object: docs/reference/control.md.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/requests.h"

/* What a plugin makes of a position for people: a sequence number, an offset, a time. */
#define POSITION_TEXT_MAX 512u
/* Ids and positions of one node's splits while they are told. */
#define SPLITS_BYTES_MAX LINK_ANSWER_MAX

const char *position_text(weir_str position, char out[128]) {
    bool printable = position.len > 0;
    for (size_t i = 0; i < position.len; i++) {
        unsigned char c = (unsigned char)position.ptr[i];
        if (c < 0x20 || c > 0x7e) printable = false;
    }
    if (printable) {
        snprintf(out, 128, "%.*s", (int)(position.len < 120 ? position.len : 120), position.ptr);
        return out;
    }
    size_t at = position.len == 0 ? 0 : 2;
    memcpy(out, "0x", 3);
    out[at] = '\0';
    for (size_t i = 0; i < position.len && at + 3 < 128; i++, at += 2) {
        snprintf(out + at, 128 - at, "%02x", (unsigned char)position.ptr[i]);
    }
    return out;
}

static void put_i64(buf *out, const char *key, int64_t v) {
    buf_printf(out, ",\"%s\":%lld", key, (long long)v);
}

static void put_text(buf *out, const char *key, weir_str v) {
    buf_printf(out, ",\"%s\":", key);
    buf_append_json(out, v);
}

/* ---- splits: copied under the table's lock, told without it, since a plugin takes part ---- */

typedef struct split_row {
    weir_str id, position;
    const char *state;
    int64_t lag_ms;
    uint64_t records;
} split_row;

typedef struct split_rows {
    arena *memory;
    split_row *items;
    size_t count, cap;
    const char *only; /* those in this state */
    uint64_t room;    /* how many more are wanted */
    bool failed;
} split_rows;

static void take_split(void *opaque, weir_str id, const char *state, weir_str position,
                       int64_t lag_ms, uint64_t records) {
    split_rows *r = opaque;
    if (r->room == 0 || r->failed || strcmp(state, r->only) != 0) return;
    if (r->count == r->cap) {
        size_t cap = r->cap > 0 ? 2 * r->cap : 64;
        split_row *more = mem_realloc(r->items, cap * sizeof *more);
        if (more == NULL) {
            r->failed = true;
            return;
        }
        r->items = more;
        r->cap = cap;
    }
    split_row row = {.id = arena_str(r->memory, id),
                     .position = arena_str(r->memory, position),
                     .state = state,
                     .lag_ms = lag_ms,
                     .records = records};
    r->failed = row.id.ptr == NULL || row.position.ptr == NULL;
    if (r->failed) return;
    r->items[r->count++] = row;
    r->room--;
}

static void put_split(buf *out, const node *n, const split_row *row, const char *position,
                      bool first) {
    buf_append_z(out, first ? "{\"split\":" : ",{\"split\":");
    buf_append_json(out, row->id);
    put_text(out, "node", n->name);
    put_text(out, "state", str_of(row->state));
    put_text(out, "position", str_of(position));
    if (row->lag_ms >= 0) put_i64(out, "lag_ms", row->lag_ms);
    put_i64(out, "records", (int64_t)row->records);
    buf_append_char(out, '}');
}

/* What is read comes first, what is finished last, so that a few tell the most. */
static void put_splits(runtime *rt, const pipeline *p, uint64_t most, buf *out) {
    static const char *const order[] = {"assigned", "waiting", "finished"};
    uint64_t known = 0, told = 0;
    int64_t lag_ms = -1;
    buf_append_z(out, ",\"splits\":[");
    for (size_t k = 0; k < sizeof order / sizeof *order; k++) {
        for (size_t i = 0; i < p->node_count; i++) {
            const node *n = p->nodes[i];
            splits *table = runtime_splits(rt, n);
            if (table == NULL) continue;
            if (k == 0) {
                splits_summary s;
                splits_summarize(table, &s);
                known += s.known;
                if (s.lag_ms > lag_ms) lag_ms = s.lag_ms;
            }
            split_rows rows = {
                .memory = arena_new(SPLITS_BYTES_MAX), .only = order[k], .room = most - told};
            if (rows.memory == NULL) continue;
            splits_each(table, take_split, &rows);
            bool ask = true;
            for (size_t r = 0; r < rows.count; r++) {
                char text[POSITION_TEXT_MAX];
                const split_row *row = &rows.items[r];
                weir_status status =
                    ask && row->position.len > 0
                        ? runtime_position_text(rt, n, row->position, text, sizeof text)
                        : WEIR_E_UNSUPPORTED;
                /* A plugin that is busy is not waited for once a split. */
                ask = ask && status != WEIR_E_TIMEOUT &&
                      (status != WEIR_E_UNSUPPORTED || row->position.len == 0);
                char plain[128];
                put_split(out, n, row,
                          status == WEIR_OK ? text : position_text(row->position, plain),
                          told++ == 0);
            }
            mem_free(rows.items);
            arena_free(rows.memory);
        }
    }
    buf_append_char(out, ']');
    put_i64(out, "split_count", (int64_t)known);
    if (lag_ms >= 0) put_i64(out, "lag_ms", lag_ms);
}

static void put_nodes(runtime *rt, const pipeline *p, buf *out) {
    static const char *const kinds[] = {"source", "sink", "transform"};
    buf_append_z(out, ",\"nodes\":[");
    for (size_t i = 0; i < p->node_count; i++) {
        const node *n = p->nodes[i];
        const counters *c = runtime_counters(rt, n);
        buf_append_z(out, i == 0 ? "{\"name\":" : ",{\"name\":");
        buf_append_json(out, n->name);
        put_text(out, "kind",
                 str_of(kinds[n->kind == WEIR_KIND_SOURCE ? 0
                              : n->kind == WEIR_KIND_SINK ? 1
                                                          : 2]));
        put_text(out, "type", n->type);
        if (n->is_dead_letter) buf_append_z(out, ",\"dead_letter\":true");
        put_i64(out, "records_in", (int64_t)count_get(&c->records_in));
        put_i64(out, "bytes_in", (int64_t)count_get(&c->bytes_in));
        put_i64(out, "records_out", (int64_t)count_get(&c->records_out));
        put_i64(out, "bytes_out", (int64_t)count_get(&c->bytes_out));
        put_i64(out, "failed", (int64_t)count_get(&c->failed));
        put_i64(out, "skipped", (int64_t)count_get(&c->skipped));
        put_i64(out, "dead_lettered", (int64_t)count_get(&c->dead_lettered));
        put_i64(out, "retried", (int64_t)count_get(&c->retried));
        buf_append_char(out, '}');
    }
    buf_append_char(out, ']');
}

static int64_t ms(int64_t ns) {
    return (ns + CLOCK_NS_PER_MS / 2) / CLOCK_NS_PER_MS;
}

/* Milliseconds with microseconds behind the point: a checkpoint often takes less than one. */
static void put_ms(buf *out, const char *key, int64_t ns) {
    buf_printf(out, ",\"%s\":%lld.%03lld", key, (long long)(ns / CLOCK_NS_PER_MS),
               (long long)(ns % CLOCK_NS_PER_MS / 1000));
}

static void put_checkpoints(runtime *rt, buf *out) {
    static const char *const orders[] = {"checkpoint", "savepoint", "final"};
    static const char *const outcomes[] = {"running", "done", "failed"};
    epoch_record records[COORDINATOR_HISTORY];
    uint32_t n = runtime_checkpoints(rt, records);
    buf_append_z(out, ",\"checkpoints\":[");
    for (uint32_t k = 0; k < n; k++) {
        const epoch_record *e = &records[k];
        buf_printf(out, "%s{\"epoch\":%llu", k == 0 ? "" : ",", (unsigned long long)e->epoch);
        put_text(out, "kind", str_of(orders[e->order]));
        put_text(out, "outcome", str_of(outcomes[e->outcome]));
        put_i64(out, "started_us", e->started_wall_us);
        if (e->acked_ns > 0) put_ms(out, "acknowledged_ms", e->acked_ns);
        if (e->durable_ns > 0) {
            put_ms(out, "durable_ms", e->durable_ns);
            put_ms(out, "sync_ms", e->sync_ns);
            put_i64(out, "bytes", (int64_t)e->bytes);
        }
        if (e->committed_ns > 0) put_ms(out, "committed_ms", e->committed_ns);
        if (e->outcome == EPOCH_FAILED) put_text(out, "error", str_of(e->why));
        buf_append_char(out, '}');
    }
    buf_append_char(out, ']');
}

/* Resident memory of the worker, 0 if the system does not tell. */
static int64_t resident_bytes(void) {
    char text[128];
    FILE *f = fopen("/proc/self/statm", "re");
    bool got = f != NULL && fgets(text, sizeof text, f) != NULL;
    if (f != NULL) fclose(f);
    const char *second = got ? strchr(text, ' ') : NULL;
    return second != NULL ? strtoll(second + 1, NULL, 10) * sysconf(_SC_PAGESIZE) : 0;
}

void status_json(runtime *rt, const plan *p, const link_history *history, uint64_t max_splits,
                 buf *out) {
    int64_t ready = runtime_ready_ns(rt);
    buf_append_z(out, "{\"ok\":true,\"pipeline\":");
    buf_append_json(out, p->pipeline->name);
    put_text(out, "state",
             str_of(runtime_draining(rt)  ? "stopping"
                    : runtime_running(rt) ? "running"
                                          : "starting"));
    put_i64(out, "pid", getpid());
    put_i64(out, "restarts", (int64_t)history->restarts);
    put_i64(out, "supervised_us", history->supervised_us);
    put_i64(out, "started_us", history->started_us);
    if (history->last_error[0] != '\0') {
        put_text(out, "last_error", str_of(history->last_error));
    } else {
        buf_append_z(out, ",\"last_error\":null");
    }
    put_i64(out, "uptime_ms", ready > 0 ? ms(clock_mono_ns(&clock_system) - ready) : 0);
    put_text(out, "delivery", str_of(delivery_name(p->guarantee)));
    put_i64(out, "restored_epoch", (int64_t)runtime_restored_epoch(rt));
    put_i64(out, "completed_epoch", (int64_t)runtime_completed_epoch(rt));
    put_i64(out, "lost", (int64_t)runtime_lost(rt));
    put_i64(out, "memory_bytes", (int64_t)runtime_memory_used(rt));
    put_i64(out, "memory_limit", (int64_t)p->pipeline->settings.memory_bytes);
    put_i64(out, "rss_bytes", resident_bytes());
    put_nodes(rt, p->pipeline, out);
    put_splits(rt, p->pipeline, max_splits, out);
    put_checkpoints(rt, out);
    buf_append_char(out, '}');
}
