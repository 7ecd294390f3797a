/*
 * What a run has done: for people on standard error, for scripts as JSON on standard output.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/str.h"
#include "cli/cli.h"
#include "runtime/runtime.h"

const char *human_count(uint64_t n, char out[32]) {
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%" PRIu64, n);
    char *to = out;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0) *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    return out;
}

const char *human_bytes(double n, char out[32]) {
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    size_t u = 0;
    while (n >= 1000 && u + 1 < sizeof units / sizeof units[0]) {
        n /= 1000;
        u++;
    }
    snprintf(out, 32, u == 0 ? "%.0f %s" : "%.1f %s", n, units[u]);
    return out;
}

static const char *kind_of(const node *n) {
    return n->kind == WEIR_KIND_SOURCE ? "source"
           : n->kind == WEIR_KIND_SINK ? "sink"
                                       : "transform";
}

static double seconds_of(const run_times *times) {
    return (double)(times->ended_ns - times->started_ns) / 1e9;
}

typedef struct totals {
    uint64_t in, out, failed, skipped, dead_lettered, retried;
} totals;

static totals add_up(runtime *rt, const pipeline *p) {
    totals t = {0};
    for (size_t i = 0; i < p->node_count; i++) {
        const node *n = p->nodes[i];
        const counters *c = runtime_counters(rt, n);
        if (n->kind == WEIR_KIND_SOURCE) t.in += count_get(&c->records_in);
        if (n->kind == WEIR_KIND_SINK && !n->is_dead_letter) t.out += count_get(&c->records_out);
        t.failed += count_get(&c->failed);
        t.skipped += count_get(&c->skipped);
        t.dead_lettered += count_get(&c->dead_lettered);
        t.retried += count_get(&c->retried);
    }
    return t;
}

void summary_print(runtime *rt, const plan *p, const run_times *times, const weir_error *failure) {
    const pipeline *pipe = p->pipeline;
    double seconds = seconds_of(times);
    totals t = add_up(rt, pipe);
    char a[32], b[32], c[32], d[32], e[32], f[32];
    fprintf(stderr,
            "%.*s: %s after %.1f s: %s records in, %s out, %s failed (%s skipped, %s to dead "
            "letters), %s retried\n",
            STR_FMT(pipe->name), failure != NULL ? "failed" : "done", seconds, human_count(t.in, a),
            human_count(t.out, b), human_count(t.failed, c), human_count(t.skipped, d),
            human_count(t.dead_lettered, e), human_count(t.retried, f));
    for (size_t i = 0; i < pipe->node_count; i++) {
        const node *n = pipe->nodes[i];
        const counters *k = runtime_counters(rt, n);
        fprintf(stderr, "  %-9s %.*s: %s in (%s), %s out (%s)\n", kind_of(n), STR_FMT(n->name),
                human_count(count_get(&k->records_in), a),
                human_bytes((double)count_get(&k->bytes_in), b),
                human_count(count_get(&k->records_out), c),
                human_bytes((double)count_get(&k->bytes_out), d));
    }
}

static void put_split(void *opaque, weir_str id, const char *state, weir_str position,
                      int64_t lag_ms, uint64_t records) {
    buf *out = opaque;
    (void)position;
    if (out->len > 0 && out->data[out->len - 1] != '[') buf_append_char(out, ',');
    buf_append_z(out, "{\"split\":");
    buf_append_json(out, id);
    buf_printf(out, ",\"state\":\"%s\",\"records\":%" PRIu64, state, records);
    if (lag_ms >= 0) buf_printf(out, ",\"lag_ms\":%" PRId64, lag_ms);
    buf_append_z(out, "}");
}

static void put_node(buf *out, runtime *rt, const node *n) {
    const counters *k = runtime_counters(rt, n);
    buf_append_z(out, "{\"node\":");
    buf_append_json(out, n->name);
    buf_printf(out,
               ",\"kind\":\"%s\",\"records_in\":%" PRIu64 ",\"bytes_in\":%" PRIu64
               ",\"records_out\":%" PRIu64 ",\"bytes_out\":%" PRIu64 ",\"failed\":%" PRIu64
               ",\"skipped\":%" PRIu64 ",\"dead_lettered\":%" PRIu64 ",\"retried\":%" PRIu64,
               kind_of(n), count_get(&k->records_in), count_get(&k->bytes_in),
               count_get(&k->records_out), count_get(&k->bytes_out), count_get(&k->failed),
               count_get(&k->skipped), count_get(&k->dead_lettered), count_get(&k->retried));
    splits *s = runtime_splits(rt, n);
    if (s != NULL) {
        buf_append_z(out, ",\"splits\":[");
        splits_each(s, put_split, out);
        buf_append_z(out, "]");
    }
    buf_append_z(out, "}");
}

static void put_ms(buf *out, const char *name, int64_t at_ns, int64_t started_ns) {
    if (at_ns != 0) buf_printf(out, ",\"%s\":%.3f", name, (double)(at_ns - started_ns) / 1e6);
}

void summary_json(runtime *rt, const plan *p, const run_times *times, const weir_error *failure) {
    const pipeline *pipe = p->pipeline;
    buf out;
    buf_init(&out, SIZE_MAX / 2);
    buf_append_z(&out, "{\"pipeline\":");
    buf_append_json(&out, pipe->name);
    buf_printf(&out, ",\"status\":\"%s\"", failure != NULL ? "failed" : "ok");
    if (failure != NULL) {
        buf_printf(&out, ",\"code\":\"%s\",\"error\":", error_status_name(error_status(failure)));
        buf_append_json(&out, str_of(error_text(failure)));
    }
    buf_printf(&out, ",\"seconds\":%.3f", seconds_of(times));
    if (rt != NULL) {
        totals t = add_up(rt, pipe);
        struct rusage usage;
        getrusage(RUSAGE_SELF, &usage);
        put_ms(&out, "ready_ms", runtime_ready_ns(rt), times->started_ns);
        put_ms(&out, "first_record_ms", runtime_first_record_ns(rt), times->started_ns);
        buf_printf(&out,
                   ",\"records_in\":%" PRIu64 ",\"records_out\":%" PRIu64 ",\"failed\":%" PRIu64
                   ",\"skipped\":%" PRIu64 ",\"dead_lettered\":%" PRIu64 ",\"retried\":%" PRIu64
                   ",\"memory_peak_bytes\":%" PRIu64 ",\"rss_peak_kib\":%ld,\"nodes\":[",
                   t.in, t.out, t.failed, t.skipped, t.dead_lettered, t.retried,
                   runtime_memory_peak(rt), usage.ru_maxrss);
        for (size_t i = 0; i < pipe->node_count; i++) {
            if (i > 0) buf_append_char(&out, ',');
            put_node(&out, rt, pipe->nodes[i]);
        }
        buf_append_z(&out, "]");
    }
    buf_append_z(&out, "}\n");
    fwrite(out.data, 1, out.len, stdout);
    fflush(stdout);
    buf_free(&out);
}
