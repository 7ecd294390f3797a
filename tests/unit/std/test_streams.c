#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "std/std.h"
#include "support/fake_host.h"

#define STR(z) ((weir_str){(z), sizeof(z) - 1})

/* ---- stdin: descriptor 0 is the reading end of a pipe ---- */

static int input[2];
static int kept_stdin;

static void *open_stdin(fake_instance *i) {
    const weir_source_ops *ops = std_stdin.ops;
    const char *id[1] = {"0"};
    uint32_t len[1] = {1};
    weir_assign a = {.struct_size = sizeof a, .count = 1, .id_ptr = id, .id_len = len};
    void *self;
    assert_int_equal(pipe(input), 0);
    kept_stdin = dup(0);
    assert_int_equal(dup2(input[0], 0), 0);
    close(input[0]);
    self = fake_source_open(i, &std_stdin);
    assert_int_equal(ops->assign(self, &a), WEIR_OK);
    return self;
}

static void close_stdin(void *self) {
    const weir_source_ops *ops = std_stdin.ops;
    weir_close c = {.struct_size = sizeof c, .mode = WEIR_CLOSE_DRAIN};
    assert_int_equal(ops->close(self, &c), WEIR_OK);
    ops->destroy(self);
    if (kept_stdin >= 0) {
        dup2(kept_stdin, 0);
        close(kept_stdin);
    } else {
        close(0);
    }
}

static weir_status poll_stdin(void *self, weir_poll *p) {
    const weir_source_ops *ops = std_stdin.ops;
    memset(p, 0, sizeof *p);
    p->struct_size = sizeof *p;
    p->room_records = 1000;
    p->room_bytes = 1 << 20;
    p->deadline_ns = fake_host_now(); /* never waits */
    return ops->poll(self, p);
}

static void put(const char *text, size_t len) {
    assert_int_equal(write(input[1], text, len), (ssize_t)len);
}

static void test_stdin_lines(void **state) {
    fake_instance i;
    weir_poll p;
    void *self;
    (void)state;
    fake_instance_init(&i);
    self = open_stdin(&i);
    assert_int_equal(poll_stdin(self, &p), WEIR_AGAIN);
    put("one\ntw", 6);
    assert_int_equal(poll_stdin(self, &p), WEIR_OK);
    assert_int_equal(p.batch->rows->count, 1);
    assert_memory_equal(p.batch->rows->value_ptr[0], "one\n", 4);
    batch_release(p.batch);
    assert_int_equal(poll_stdin(self, &p), WEIR_AGAIN);
    put("o\nlast", 6);
    assert_int_equal(poll_stdin(self, &p), WEIR_OK);
    assert_memory_equal(p.batch->rows->value_ptr[0], "two\n", 4);
    assert_int_equal(std_get_u64(p.batch->resume.ptr), 8);
    batch_release(p.batch);
    close(input[1]);
    assert_int_equal(poll_stdin(self, &p), WEIR_OK); /* a line without its newline is one too */
    assert_int_equal(p.batch->rows->value_len[0], 4);
    assert_memory_equal(p.batch->rows->value_ptr[0], "last\n", 5);
    assert_int_equal(std_get_u64(p.batch->resume.ptr), 12);
    batch_release(p.batch);
    assert_int_equal(poll_stdin(self, &p), WEIR_END);
    close_stdin(self);
    fake_instance_free(&i);
}

/* More than a pipe holds, in pieces that cut lines anywhere; lines longer than the segment. */
static void test_stdin_large(void **state) {
    fake_instance i;
    weir_poll p;
    size_t len = 2 << 20;
    char *text = malloc(len);
    char *got = malloc(len);
    size_t sent = 0;
    size_t used = 0;
    void *self;
    weir_status status = WEIR_AGAIN;
    (void)state;
    assert_true(text != NULL && got != NULL);
    for (size_t n = 0; n < len; n++) text[n] = (char)('a' + n % 26);
    for (size_t n = 100; n < len; n += n < 500000 || n > 1200000 ? 301 : 600000) text[n] = '\n';
    text[len - 1] = '\n';
    fake_instance_init(&i);
    self = open_stdin(&i);
    assert_true(fcntl(input[1], F_SETFL, O_NONBLOCK) == 0);
    while (status != WEIR_END) {
        while (sent < len) {
            size_t piece = len - sent < 7777 ? len - sent : 7777;
            ssize_t n = write(input[1], text + sent, piece);
            if (n < 0) break;
            sent += (size_t)n;
            if (sent == len) close(input[1]);
        }
        status = poll_stdin(self, &p);
        if (status != WEIR_OK) continue;
        for (uint32_t r = 0; r < p.batch->rows->count; r++) {
            memcpy(got + used, p.batch->rows->value_ptr[r], p.batch->rows->value_len[r] + 1u);
            used += p.batch->rows->value_len[r] + 1u;
        }
        batch_release(p.batch);
    }
    assert_int_equal(used, len);
    assert_memory_equal(got, text, len);
    free(text);
    free(got);
    close_stdin(self);
    fake_instance_free(&i);
}

static void test_stdin_too_large(void **state) {
    fake_instance i;
    weir_poll p;
    char x[3000];
    void *self;
    (void)state;
    memset(x, 'x', sizeof x);
    fake_instance_init(&i);
    fake_set_number(&i, "max_record", 2000);
    self = open_stdin(&i);
    put(x, sizeof x);
    assert_int_equal(poll_stdin(self, &p), WEIR_E_TOO_LARGE);
    put(x, 100);
    assert_int_equal(poll_stdin(self, &p), WEIR_AGAIN);
    put("\nnext\n", 6);
    assert_int_equal(poll_stdin(self, &p), WEIR_OK);
    assert_memory_equal(p.batch->rows->value_ptr[0], "next\n", 5);
    batch_release(p.batch);
    ((const weir_source_ops *)std_stdin.ops)->cancel(self);
    assert_int_equal(poll_stdin(self, &p), WEIR_E_CANCELLED);
    close(input[1]);
    close_stdin(self);
    fake_instance_free(&i);
}

/* ---- stdout: descriptor 1 is the writing end of a pipe, for as long as an operation runs ---- */

static int output[2];
static int kept_stdout;

static void begin_output(void) {
    fflush(stdout);
    kept_stdout = dup(1);
    dup2(output[1], 1);
}

static void end_output(void) {
    dup2(kept_stdout, 1);
    close(kept_stdout);
}

/* The sink opens a pipe once more: it has to be there already. */
static void *open_stdout(fake_instance *i) {
    begin_output();
    void *self = fake_sink_open(i, &std_stdout);
    end_output();
    return self;
}

static void write_rows(fake_instance *i, void *self, const weir_str *values, uint32_t count) {
    const weir_sink_ops *ops = std_stdout.ops;
    fake_request r;
    weir_write w = {.struct_size = sizeof w, .token = 1, .epoch = 1};
    uint32_t before = i->results;
    weir_status status;
    fake_request_make(&r, values, count, false);
    w.request = &r.request;
    w.deadline_ns = fake_host_now();
    begin_output();
    status = ops->write(self, &w);
    end_output();
    assert_int_equal(status, WEIR_OK);
    assert_int_equal(w.taken, count);
    assert_int_equal(i->results, before + 1);
    fake_request_free(&r);
}

static void close_stdout(void *self) {
    const weir_sink_ops *ops = std_stdout.ops;
    weir_close c = {.struct_size = sizeof c, .mode = WEIR_CLOSE_ABANDON};
    assert_int_equal(ops->close(self, &c), WEIR_OK);
    ops->destroy(self);
}

static void test_stdout(void **state) {
    fake_instance i;
    weir_str values[3] = {STR("one"), STR("t\no"), STR("three")};
    char bytes[64];
    void *self;
    (void)state;
    assert_int_equal(pipe(output), 0);
    fake_instance_init(&i);
    self = open_stdout(&i);
    write_rows(&i, self, values, 3);
    assert_int_equal(i.result.failed_count, 1);
    assert_int_equal(i.result.failed_index[0], 1);
    assert_int_equal(read(output[0], bytes, sizeof bytes), 10);
    assert_memory_equal(bytes, "one\nthree\n", 10);
    close(output[0]);
    write_rows(&i, self, values, 1); /* nobody reads any more */
    assert_int_equal(i.result.status, WEIR_E_IO);
    assert_true(i.result.flags & WEIR_ERR_FATAL);
    close(output[1]);
    close_stdout(self);
    fake_instance_free(&i);
}

/* A reader that is slow: a record that was begun is finished first, nothing is torn or repeated. */
static void test_stdout_slow(void **state) {
    const weir_sink_ops *ops = std_stdout.ops;
    fake_instance i;
    static char large[50000];
    static char bytes[1 << 20];
    weir_str values[4] = {{large, sizeof large}, {large, sizeof large}, {large, sizeof large}};
    weir_flush f = {.struct_size = sizeof f, .epoch = 1, .last = 1};
    size_t got = 0;
    ssize_t n;
    void *self;
    (void)state;
    memset(large, 'L', sizeof large);
    assert_int_equal(pipe(output), 0);
    fcntl(output[0], F_SETFL, O_NONBLOCK);
    fcntl(output[1], F_SETFL, O_NONBLOCK);
    fake_instance_init(&i);
    self = open_stdout(&i);
    write_rows(&i, self, values, 3); /* more than the pipe holds: accepted, the rest is kept */
    assert_int_equal(i.result.status, WEIR_OK);
    assert_int_equal(i.result.failed_count, 0);
    write_rows(&i, self, values, 1);
    assert_int_equal(i.result.status, WEIR_E_TIMEOUT);
    assert_true(i.result.flags & WEIR_ERR_RETRYABLE);
    for (int round = 0; round < 8; round++) {
        while ((n = read(output[0], bytes + got, sizeof bytes - got)) > 0) got += (size_t)n;
        f.deadline_ns = fake_host_now();
        begin_output();
        ops->flush(self, &f);
        end_output();
    }
    assert_int_equal(i.flush_status, WEIR_OK);
    assert_int_equal(got, 3 * (sizeof large + 1));
    for (size_t r = 1; r <= 3; r++) assert_int_equal(bytes[r * (sizeof large + 1) - 1], '\n');
    close(output[0]);
    close(output[1]);
    close_stdout(self);
    fake_instance_free(&i);
}

/* What stands in the place of a closed stream, so that its number stays taken. */
static void test_closed_streams(void **state) {
    static const struct {
        const weir_component *component;
        int fd;
        int mode; /* the wrong one; -1 = nothing there at all */
    } cases[] = {{&std_stdout, 1, O_RDONLY},
                 {&std_stdout, 1, -1},
                 {&std_stdin, 0, O_WRONLY},
                 {&std_stdin, 0, -1}};
    (void)state;
    fflush(stdout);
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        const weir_sink_ops *sink = cases[k].component->ops;
        const weir_source_ops *source = cases[k].component->ops;
        bool is_sink = cases[k].fd == 1;
        fake_instance i;
        weir_create create = {.struct_size = sizeof create};
        weir_open open_args = {.struct_size = sizeof open_args, .parallelism = 1};
        weir_status status;
        int kept = dup(cases[k].fd);
        fake_instance_init(&i);
        create.ctx = &i.head.abi;
        open_args.role = WEIR_ROLE_TASK;
        open_args.error = weir_error_new(create.ctx);
        assert_int_equal((is_sink ? sink->create : source->create)(&create), WEIR_OK);
        close(cases[k].fd);
        if (cases[k].mode >= 0) (void)!open("/dev/null", cases[k].mode);
        status = (is_sink ? sink->open : source->open)(create.self, &open_args);
        if (kept >= 0) {
            dup2(kept, cases[k].fd);
            close(kept);
        }
        assert_int_equal(status, WEIR_E_IO);
        assert_true(error_flags(open_args.error) & WEIR_ERR_FATAL);
        (is_sink ? sink->destroy : source->destroy)(create.self);
        weir_error_free(create.ctx, open_args.error);
        fake_instance_free(&i);
    }
}

static void test_blackhole(void **state) {
    const weir_sink_ops *ops = std_blackhole.ops;
    fake_instance i;
    fake_request r;
    weir_str values[2] = {STR("a"), STR("b")};
    weir_write w = {.struct_size = sizeof w, .token = 5};
    weir_flush f = {.struct_size = sizeof f, .epoch = 3};
    void *self;
    (void)state;
    fake_instance_init(&i);
    self = fake_sink_open(&i, &std_blackhole);
    fake_request_make(&r, values, 2, true);
    w.request = &r.request;
    assert_int_equal(ops->write(self, &w), WEIR_OK);
    assert_int_equal(w.taken, 2);
    assert_int_equal(i.result.token, 5);
    assert_int_equal(i.result.status, WEIR_OK);
    assert_int_equal(ops->flush(self, &f), WEIR_OK);
    assert_int_equal(i.flushed_epoch, 3);
    fake_request_free(&r);
    ops->destroy(self);
    fake_instance_free(&i);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stdin_lines),     cmocka_unit_test(test_stdin_large),
        cmocka_unit_test(test_stdin_too_large), cmocka_unit_test(test_stdout),
        cmocka_unit_test(test_stdout_slow),     cmocka_unit_test(test_blackhole),
        cmocka_unit_test(test_closed_streams),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
