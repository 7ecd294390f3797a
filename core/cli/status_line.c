/*
 * The status line: one line at the bottom of the terminal, redrawn in place. Log lines clear it,
 * print themselves, and draw it again.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "cli/cli.h"
#include "runtime/runtime.h"

static struct {
    pthread_mutex_t lock; /* log lines come from any thread */
    runtime *rt;          /* NULL: no status line */
    const plan *plan;
    int64_t started_ns, last_ns;
    uint64_t last_in, last_bytes;
    char text[512];
} line = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void put(const char *text, size_t len) {
    if (write(STDERR_FILENO, text, len) < 0) {
        /* a terminal that went away: the run goes on without its status line */
    }
}

static void draw(void) {
    put(line.text, strlen(line.text));
}

static void clear_line(void) {
    pthread_mutex_lock(&line.lock);
    put("\r\033[K", 4);
}

static void draw_again(void) {
    if (line.rt != NULL) draw();
    pthread_mutex_unlock(&line.lock);
}

/* Records that go to the same terminal would be written into the status line. */
static bool shares_terminal(const pipeline *p) {
    for (size_t i = 0; i < p->node_count; i++) {
        weir_str to = component_note(p->nodes[i]->component)->writes_to;
        if (str_eq_z(to, "stderr")) return true;
        if (str_eq_z(to, "stdout") && isatty(STDOUT_FILENO)) return true;
    }
    return false;
}

void status_line_start(runtime *rt, const plan *p) {
    if (!isatty(STDERR_FILENO) || shares_terminal(p->pipeline)) return;
    line.rt = rt;
    line.plan = p;
    line.started_ns = line.last_ns = clock_mono_ns(&clock_system);
    log_set_hooks(clear_line, draw_again);
}

/* Sums over sources and sinks. */
static void collect(uint64_t *in, uint64_t *bytes, uint64_t *out, uint64_t *failed, int64_t *lag) {
    const pipeline *p = line.plan->pipeline;
    for (size_t i = 0; i < p->node_count; i++) {
        const node *n = p->nodes[i];
        const counters *c = runtime_counters(line.rt, n);
        *failed += count_get(&c->failed);
        if (n->kind == WEIR_KIND_SINK && !n->is_dead_letter) *out += count_get(&c->records_out);
        if (n->kind != WEIR_KIND_SOURCE) continue;
        *in += count_get(&c->records_in);
        *bytes += count_get(&c->bytes_in);
        splits_summary s;
        splits_summarize(runtime_splits(line.rt, n), &s);
        if (s.lag_ms > *lag) *lag = s.lag_ms;
    }
}

void status_line_tick(void) {
    if (line.rt == NULL) return;
    uint64_t in = 0, bytes = 0, out = 0, failed = 0;
    int64_t lag = -1;
    collect(&in, &bytes, &out, &failed, &lag);
    int64_t now = clock_mono_ns(&clock_system);
    double seconds = (double)(now - line.last_ns) / 1e9;
    if (seconds < 0.05) return; /* woken early: a rate over so little time means nothing */
    char rate[32], speed[32], total_in[32], total_out[32], bad[32], behind[48] = "";
    human_count((uint64_t)((double)(in - line.last_in) / seconds), rate);
    human_bytes((double)(bytes - line.last_bytes) / seconds, speed);
    if (lag >= 0) snprintf(behind, sizeof behind, "  lag %.1f s", (double)lag / 1e3);
    pthread_mutex_lock(&line.lock);
    snprintf(line.text, sizeof line.text,
             "\r\033[K%.*s  %s rec/s  %s/s%s  in %s  out %s  failed %s%s  %llds",
             STR_FMT(line.plan->pipeline->name), rate, speed, behind, human_count(in, total_in),
             human_count(out, total_out), human_count(failed, bad),
             runtime_draining(line.rt) ? "  draining" : "",
             (long long)((now - line.started_ns) / CLOCK_NS_PER_S));
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 &&
        (size_t)size.ws_col + 3 < sizeof line.text) {
        line.text[size.ws_col + 3] = '\0'; /* a wrapped line could not be cleared again */
    }
    draw();
    pthread_mutex_unlock(&line.lock);
    line.last_ns = now;
    line.last_in = in;
    line.last_bytes = bytes;
}

void status_line_stop(void) {
    if (line.rt == NULL) return;
    log_set_hooks(NULL, NULL);
    put("\r\033[K", 4);
    line.rt = NULL;
}
