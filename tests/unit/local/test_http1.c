/* Heads and chunks of HTTP/1.1: what is taken, what is refused, and any way to cut the bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "server/http1_parse.h"

static char text[8192];
static http1_head head;

static http1_result parse(const char *request) {
    size_t n = strlen(request);
    memcpy(text, request, n + 1);
    return http1_parse_head(text, n, 0, &head);
}

static void a_head(void **state) {
    (void)state;
    assert_int_equal(parse("\r\nPOST /a?b=c HTTP/1.1\r\nHost: x:80\r\nX-Amz-Target:  K.Op \t\r\n"
                           "Content-Length: 5\r\nExpect: 100-Continue\r\n\r\nhello"),
                     HTTP1_OK);
    assert_true(str_eq_z(head.method, "POST"));
    assert_true(str_eq_z(head.target, "/a?b=c"));
    assert_true(str_eq_z(head.host, "x:80"));
    assert_int_equal(head.header_count, 4);
    assert_true(str_eq_z(head.headers[1].name, "x-amz-target"));
    assert_true(str_eq_z(head.headers[1].value, "K.Op"));
    assert_true(head.has_length && head.length == 5 && head.expects_continue && head.keep_alive);
    assert_string_equal(text + head.bytes, "hello");
}

static void connections(void **state) {
    (void)state;
    assert_int_equal(parse("GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade, Close\r\n\r\n"),
                     HTTP1_OK);
    assert_false(head.keep_alive);
    assert_int_equal(parse("GET / HTTP/1.0\r\n\r\n"), HTTP1_OK);
    assert_false(head.keep_alive);
    assert_int_equal(parse("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), HTTP1_OK);
    assert_true(head.keep_alive);
}

static void heads_that_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: x\r\n\r\n",
        "GET /\r\nHost: x\r\n\r\n",
        "GE T / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nA: b\nc\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nA: \x01\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999999999999\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (parse(bad[i]) != HTTP1_BAD) fail_msg("was not refused: %s", bad[i]);
        assert_non_null(head.fault);
    }
}

static void heads_in_pieces(void **state) {
    (void)state;
    static const char whole[] = "\r\nGET /x HTTP/1.1\r\nHost: a\r\nB: c\r\n\r\n";
    size_t seen = 0;
    for (size_t n = 0; n < sizeof whole - 1; n++) {
        memcpy(text, whole, n);
        assert_int_equal(http1_parse_head(text, n, seen, &head), HTTP1_MORE);
        seen = n;
    }
    memcpy(text, whole, sizeof whole - 1);
    assert_int_equal(http1_parse_head(text, sizeof whole - 1, seen, &head), HTTP1_OK);
    assert_int_equal(head.bytes, sizeof whole - 1);
}

static void too_many_headers(void **state) {
    (void)state;
    int n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: x\r\n");
    for (unsigned i = 1; i < HTTP1_HEADERS_MAX; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "h%u: v\r\n", i);
    int end = n + snprintf(text + n, sizeof text - (size_t)n, "\r\n");
    assert_int_equal(http1_parse_head(text, (size_t)end, 0, &head), HTTP1_OK);
    end = n + snprintf(text + n, sizeof text - (size_t)n, "one: more\r\n\r\n");
    assert_int_equal(http1_parse_head(text, (size_t)end, 0, &head), HTTP1_BAD);
}

/* Reads `in` in pieces of `step`; the body is appended to `out`. */
static http1_result dechunk(const char *in, size_t step, char *out, size_t *consumed) {
    http1_chunks c = {0};
    size_t len = strlen(in), at = 0;
    out[0] = 0;
    while (at < len) {
        size_t n = len - at < step ? len - at : step;
        while (n) {
            size_t used;
            weir_str data;
            http1_result r = http1_chunks_next(&c, in + at, n, &used, &data);
            strncat(out, data.ptr, (size_t)data.len);
            at += used;
            n -= used;
            *consumed = at;
            if (r != HTTP1_MORE) return r;
        }
    }
    return HTTP1_MORE;
}

static void chunks_in_any_pieces(void **state) {
    (void)state;
    static const char in[] = "5\r\nhello\r\n1;ext=\"a b\"\r\n \r\nA\r\nworld, all!\r\n"
                             "0\r\nTrailer: x\r\n\r\nnext";
    static const char good[] = "5\r\nhello\r\n1;ext=\"a b\"\r\n \r\nB\r\nworld, all!\r\n"
                               "000\r\nTrailer: x\r\nOther: y\r\n\r\nnext";
    char out[64];
    size_t consumed;
    for (size_t step = 1; step < sizeof good; step++) {
        assert_int_equal(dechunk(good, step, out, &consumed), HTTP1_OK);
        assert_string_equal(out, "hello world, all!");
        assert_string_equal(good + consumed, "next");
        assert_int_equal(dechunk(in, step, out, &consumed), HTTP1_BAD);
    }
}

static void chunks_that_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"\r\n",
                                      "x\r\n",
                                      "-1\r\n",
                                      "5\nhello",
                                      "5\r\nhelloX",
                                      "0x5\r\n",
                                      "FFFFFFFFFFFFFFFFF\r\n",
                                      "1\r\na\n",
                                      "0\r\nTrailer\n\r\n"};
    char out[64];
    size_t consumed;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (dechunk(bad[i], 64, out, &consumed) != HTTP1_BAD)
            fail_msg("was not refused: %s", bad[i]);
    assert_int_equal(dechunk("5\r\nhello\r\n0\r\n", 64, out, &consumed), HTTP1_MORE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head),
        cmocka_unit_test(connections),
        cmocka_unit_test(heads_that_are_refused),
        cmocka_unit_test(heads_in_pieces),
        cmocka_unit_test(too_many_headers),
        cmocka_unit_test(chunks_in_any_pieces),
        cmocka_unit_test(chunks_that_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
