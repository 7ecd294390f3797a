#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "supervise/lines.h"

typedef struct pair {
    lines lines;
    int fd;
} pair;

static void pair_open(pair *p, size_t line_max, size_t out_max) {
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    lines_open(&p->lines, ends[0], line_max, out_max);
    p->fd = ends[1];
}

static void pair_close(pair *p) {
    lines_close(&p->lines);
    lines_close(&p->lines); /* twice is once */
    close(p->fd);
}

static void say(pair *p, const char *bytes, size_t len) {
    assert_int_equal(send(p->fd, bytes, len, MSG_NOSIGNAL), len);
}

/* The same text in every way of cutting it in two gives the same lines. */
static void test_every_cut(void **state) {
    (void)state;
    static const char text[] = "one\n\nthree three\n4\nrest";
    size_t len = sizeof text - 1;
    for (size_t cut = 0; cut <= len; cut++) {
        pair p;
        pair_open(&p, 64, 64);
        char got[128] = "";
        size_t at = 0;
        for (int half = 0; half < 2; half++) {
            size_t from = half == 0 ? 0 : cut, to = half == 0 ? cut : len;
            if (to > from) say(&p, text + from, to - from);
            lines_receive(&p.lines);
            for (weir_str line; lines_next(&p.lines, &line);) {
                memcpy(got + at, line.ptr, line.len);
                at += line.len;
                got[at++] = '|';
            }
        }
        assert_string_equal(got, "one||three three|4|");
        assert_false(p.lines.ended);
        close(p.fd);
        p.fd = -1;
        lines_receive(&p.lines);
        assert_true(p.lines.ended);
        weir_str line;
        assert_false(lines_next(&p.lines, &line)); /* half a line is none */
        pair_close(&p);
    }
}

static void test_the_longest_line(void **state) {
    (void)state;
    for (size_t len = 99; len <= 101; len++) {
        pair p;
        char text[128];
        memset(text, 'x', sizeof text);
        text[len] = '\n';
        pair_open(&p, 100, 64);
        say(&p, text, len + 1);
        lines_receive(&p.lines);
        weir_str line;
        bool fits = lines_next(&p.lines, &line);
        assert_int_equal(fits, len <= 100);
        assert_int_equal(p.lines.too_big, len > 100);
        if (fits) assert_int_equal(line.len, len);
        pair_close(&p);
    }
}

static void test_a_flood_is_bounded(void **state) {
    (void)state;
    pair p;
    char block[4096];
    memset(block, 'x', sizeof block);
    pair_open(&p, 1000, 64);
    for (int i = 0; i < 1000; i++) {
        (void)!send(p.fd, block, sizeof block, MSG_NOSIGNAL);
        lines_receive(&p.lines); /* nobody takes lines out: it stops reading */
        assert_true(p.lines.in.cap < (size_t)1 << 20);
    }
    weir_str line;
    assert_false(lines_next(&p.lines, &line));
    assert_true(p.lines.too_big);
    pair_close(&p);
}

static void test_what_cannot_be_sent_waits(void **state) {
    (void)state;
    pair p;
    size_t len = (size_t)4 << 20;
    char *text = malloc(len);
    memset(text, 'y', len);
    pair_open(&p, 64, len + 100);
    assert_true(lines_send(&p.lines, STR("head "), str_make(text, len)));
    assert_true(lines_waiting(&p.lines));
    static char got[65536];
    size_t total = 0;
    while (total < len + 6) {
        ssize_t n = recv(p.fd, got, sizeof got, 0);
        if (n > 0) total += (size_t)n;
        if (n > 0 && total == (size_t)n) assert_memory_equal(got, "head yyy", 8);
        lines_flush(&p.lines);
    }
    assert_false(lines_waiting(&p.lines));
    assert_true(lines_send(&p.lines, STR(""), STR("small")));
    assert_int_equal(recv(p.fd, got, sizeof got, 0), 6);
    /* More than may wait breaks the connection: half a line is worse than none. */
    assert_true(lines_send(&p.lines, STR(""), str_make(text, len)));
    assert_false(lines_send(&p.lines, STR(""), str_make(text, len)));
    assert_true(p.lines.broken);
    assert_false(lines_waiting(&p.lines));
    pair_close(&p);
    free(text);
}

static void test_a_peer_that_is_gone(void **state) {
    (void)state;
    pair p;
    pair_open(&p, 64, 64);
    close(p.fd);
    p.fd = -1;
    assert_false(lines_send(&p.lines, STR(""), STR("hello"))); /* and no SIGPIPE */
    pair_close(&p);
    assert_false(lines_send(&p.lines, STR(""), STR("hello")));
    weir_str line;
    lines_receive(&p.lines);
    assert_false(lines_next(&p.lines, &line));
}

static void test_no_memory(void **state) {
    (void)state;
    for (int64_t n = 1; n < 20; n++) {
        pair p;
        pair_open(&p, 64, 64);
        say(&p, "one\ntwo\n", 8);
        mem_test_fail_at(n, true);
        lines_receive(&p.lines);
        weir_str line;
        while (lines_next(&p.lines, &line)) {}
        (void)lines_send(&p.lines, STR(""), STR("hello"));
        bool failed = mem_test_fail_at(0, false);
        assert_int_equal(failed, p.lines.broken);
        pair_close(&p);
        if (!failed) break;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_the_longest_line),
        cmocka_unit_test(test_a_flood_is_bounded),
        cmocka_unit_test(test_what_cannot_be_sent_waits),
        cmocka_unit_test(test_a_peer_that_is_gone),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
