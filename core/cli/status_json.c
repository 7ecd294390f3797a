/*
 * The status of a running pipeline as one JSON object: docs/reference/control.md.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "cli/requests.h"

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

typedef struct split_writer {
    buf *out;
    const node *node;
    bool *first;
} split_writer;

static void put_split(void *opaque, weir_str id, const char *state, weir_str position,
                      int64_t lag_ms, uint64_t records) {
    split_writer *w = opaque;
    char text[128];
    buf_append_z(w->out, *w->first ? "{\"split\":" : ",{\"split\":");
    *w->first = false;
    buf_append_json(w->out, id);
    put_text(w->out, "node", w->node->name);
    put_text(w->out, "state", str_of(state));
    put_text(w->out, "position", str_of(position_text(position, text)));
    if (lag_ms >= 0) put_i64(w->out, "lag_ms", lag_ms);
    put_i64(w->out, "records", (int64_t)records);
    buf_append_char(w->out, '}');
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
    buf_append_z(out, "],\"splits\":[");
    bool first = true;
    for (size_t i = 0; i < p->node_count; i++) {
        splits *s = runtime_splits(rt, p->nodes[i]);
        split_writer w = {out, p->nodes[i], &first};
        if (s != NULL) splits_each(s, put_split, &w);
    }
    buf_append_char(out, ']');
}

static int64_t ms(int64_t ns) {
    return (ns + CLOCK_NS_PER_MS / 2) / CLOCK_NS_PER_MS;
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
        if (e->acked_ns > 0) put_i64(out, "acknowledged_ms", ms(e->acked_ns));
        if (e->durable_ns > 0) {
            put_i64(out, "durable_ms", ms(e->durable_ns));
            put_i64(out, "sync_ms", ms(e->sync_ns));
            put_i64(out, "bytes", (int64_t)e->bytes);
        }
        if (e->committed_ns > 0) put_i64(out, "committed_ms", ms(e->committed_ns));
        if (e->outcome == EPOCH_FAILED) put_text(out, "error", str_of(e->why));
        buf_append_char(out, '}');
    }
    buf_append_char(out, ']');
}

void status_json(runtime *rt, const plan *p, const link_history *history, buf *out) {
    int64_t ready = runtime_ready_ns(rt);
    buf_append_z(out, "{\"ok\":true,\"pipeline\":");
    buf_append_json(out, p->pipeline->name);
    put_text(out, "state",
             str_of(runtime_draining(rt)  ? "stopping"
                    : runtime_running(rt) ? "running"
                                          : "starting"));
    put_i64(out, "pid", getpid());
    put_i64(out, "restarts", (int64_t)history->restarts);
    put_i64(out, "started_us", history->started_us);
    put_text(out, "last_error", str_of(history->last_error));
    put_i64(out, "uptime_ms", ready > 0 ? ms(clock_mono_ns(&clock_system) - ready) : 0);
    put_text(out, "delivery", str_of(delivery_name(p->guarantee)));
    put_i64(out, "restored_epoch", (int64_t)runtime_restored_epoch(rt));
    put_i64(out, "completed_epoch", (int64_t)runtime_completed_epoch(rt));
    put_i64(out, "lost", (int64_t)runtime_lost(rt));
    put_i64(out, "memory_bytes", (int64_t)runtime_memory_used(rt));
    put_i64(out, "memory_limit", (int64_t)p->pipeline->settings.memory_bytes);
    put_nodes(rt, p->pipeline, out);
    put_checkpoints(rt, out);
    buf_append_char(out, '}');
}
