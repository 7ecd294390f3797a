#include "runtime/live_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "pipes.h"

typedef struct heard {
    buf lines;
    unsigned count;
    bool interrupt_now;       /* as soon as something was found */
    _Atomic bool interrupted; /* read by the thread that waits */
} heard;

static void found(void *opaque, const live_finding *f) {
    heard *h = opaque;
    weir_str hint = error_get_detail(f->error, WEIR_DETAIL_HINT);
    buf_printf(&h->lines, "%.*s%s/%.*s %s %.*s%s%.*s%s\n", STR_FMT(f->node->name),
               f->format ? "+" : "", STR_FMT(f->component),
               f->status < 0 ? error_status_name(f->status) : "ok", STR_FMT(f->text),
               hint.len > 0 ? " hint: " : "", STR_FMT(hint), f->nothing ? " (nothing)" : "");
    h->count++;
    h->interrupted = h->interrupted || h->interrupt_now;
}

static bool interrupted(void *opaque) {
    return ((heard *)opaque)->interrupted;
}

/* A thread is still in it. */
static diags *volatile kept_diags;
static arena *volatile kept_memory;
static registry *volatile kept_plugins;

static weir_status check_for(const char *mode, int64_t timeout_ns, heard *h) {
    char text[512];
    snprintf(text, sizeof text,
             "sources:\n  in: {type: probe, mode: %s, format: json}\n"
             "sinks:\n  out: {type: blackhole, input: in}\n",
             mode);
    pipe_of p = pipe_load(text);
    assert_non_null(p.plan);
    weir_error *err = error_new();
    buf_init(&h->lines, 1 << 16);
    const live_check_config config = {.plan = p.plan,
                                      .plugins = p.plugins,
                                      .timeout_ns = timeout_ns,
                                      .interrupted = interrupted,
                                      .found = found,
                                      .opaque = h};
    bool left_behind;
    weir_status status = live_check(&config, &left_behind, err);
    error_free(err);
    assert_int_equal(left_behind, strcmp(mode, "hang") == 0);
    if (left_behind) {
        kept_diags = p.diags;
        kept_memory = p.memory;
        kept_plugins = p.plugins;
    } else {
        pipe_free(&p);
    }
    return status;
}

static void expect(const char *mode, int64_t timeout_ns, const char *lines) {
    heard h = {0};
    assert_int_equal(check_for(mode, timeout_ns, &h), WEIR_OK);
    assert_string_equal(h.lines.data, lines);
    buf_free(&h.lines);
}

#define LONG (3600 * CLOCK_NS_PER_S)
#define REST "in+/json ok nothing to try (nothing)\nout/blackhole ok nothing to try (nothing)\n"

static void test_findings(void **state) {
    (void)state;
    expect("none", LONG, "in/probe ok nothing to try (nothing)\n" REST);
    expect("quiet", LONG, "in/probe ok ok\n" REST);
    expect("lines", LONG,
           "in/probe ok first\nin/probe permission second is denied hint: ask nicely\n"
           "in/probe io third\n" REST);
    expect("fails", LONG, "in/probe throttled too many\n" REST);
    expect("wordless", LONG, "in/probe io unknown failure\n" REST);
    expect("closed", LONG, "in/probe auth the door is locked\n" REST);
}

static void test_deadlines(void **state) {
    (void)state;
    expect(
        "slow", CLOCK_NS_PER_MS,
        "in/probe ok first\nin/probe timeout no end within 1 ms hint: --timeout allows more\n" REST);
    expect("late", CLOCK_NS_PER_MS, "in/probe timeout at last\n" REST);
    /* The others have their turn all the same. */
    expect("hang", CLOCK_NS_PER_MS,
           "in/probe timeout no end within 1 ms, and it does not react when it is cancelled hint: "
           "--timeout allows more\n" REST);
}

static void test_interrupted(void **state) {
    (void)state;
    heard h = {.interrupt_now = true};
    assert_int_equal(check_for("slow", LONG, &h), WEIR_E_CANCELLED);
    assert_string_equal(h.lines.data, "in/probe ok first\n");
    buf_free(&h.lines);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_findings),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_interrupted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
