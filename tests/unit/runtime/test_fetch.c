#include "runtime/fetch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/str.h"

typedef struct scene {
    registry *plugins;
    fetcher *fetcher;
    weir_error *err;
    buf out;
    char *folder; /* not made */
} scene;

static bool wanted_no_more;

static bool interrupted(void *opaque) {
    (void)opaque;
    return wanted_no_more;
}

static scene begin(int64_t timeout_ns) {
    scene s = {
        .plugins = registry_new(), .err = error_new(), .folder = strdup("/tmp/weir-fetch-XXXXXX")};
    assert_non_null(s.folder);
    assert_non_null(mkdtemp(s.folder));
    assert_int_equal(rmdir(s.folder), 0);
    setenv("WEIR_PLUGIN_PATH", PLUGIN_DIRS, 1);
    registry_scan(s.plugins);
    wanted_no_more = false;
    const fetch_config config = {.plugins = s.plugins,
                                 .folder = s.folder,
                                 .timeout_ns = timeout_ns,
                                 .interrupted = interrupted};
    s.fetcher = fetcher_new(&config);
    buf_init(&s.out, LIMIT_REFERENCE_BYTES);
    return s;
}

static void end(scene *s) {
    fetcher_free(s->fetcher);
    registry_free(s->plugins);
    error_free(s->err);
    buf_free(&s->out);
    free(s->folder);
}

static weir_status fetch_from(scene *s, const char *name, const char *text) {
    const component_ref *c = registry_find(s->plugins, WEIR_KIND_REFERENCE, str_of(name));
    assert_non_null(c);
    buf_reset(&s->out);
    error_clear(s->err);
    /* Not NUL-terminated where it ends. */
    char copy[256];
    snprintf(copy, sizeof copy, "%sX", text);
    return fetcher_fetch(s->fetcher, c, str_make(copy, strlen(text)), &s->out, s->err);
}

static weir_status fetch(scene *s, const char *text) {
    return fetch_from(s, "vault", text);
}

#define LONG (3600 * CLOCK_NS_PER_S)

static void test_values(void **state) {
    (void)state;
    scene s = begin(LONG / 2);
    assert_int_equal(fetch(&s, "value:a b"), WEIR_OK);
    assert_string_equal(s.out.data, "a b");
    assert_int_equal(fetch(&s, "value:"), WEIR_OK);
    assert_int_equal(s.out.len, 0);
    assert_int_equal(fetch(&s, "deadline"), WEIR_OK);
    /* One instance answers all of them. */
    assert_int_equal(fetch(&s, "calls"), WEIR_OK);
    assert_string_equal(s.out.data, "4");
    assert_int_equal(fetcher_failed(s.fetcher), 0);
    assert_int_not_equal(access(s.folder, F_OK), 0);
    end(&s);
}

static void test_files(void **state) {
    (void)state;
    scene s = begin(LONG);
    char want[128], bytes[16] = {0};
    struct stat st;
    assert_int_equal(fetch(&s, "file:dir/key store.p12"), WEIR_OK);
    snprintf(want, sizeof want, "%s/1-key_store.p12", s.folder);
    assert_string_equal(s.out.data, want);
    assert_int_equal(stat(s.folder, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(stat(want, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_size, strlen("dir/key store.p12"));
    FILE *f = fopen(want, "r");
    assert_non_null(f);
    assert_int_equal(fread(bytes, 1, 3, f), 3);
    fclose(f);
    assert_string_equal(bytes, "dir");
    /* Equal names do not meet, and nothing is longer than names may be. */
    assert_int_equal(fetch(&s, "file:other/key store.p12"), WEIR_OK);
    snprintf(want, sizeof want, "%s/2-key_store.p12", s.folder);
    assert_string_equal(s.out.data, want);
    assert_int_equal(fetch(&s, "file:../..\n"), WEIR_OK);
    snprintf(want, sizeof want, "%s/3-.._", s.folder);
    assert_string_equal(s.out.data, want);
    char name[200] = "file:";
    memset(name + 5, 'x', sizeof name - 6);
    assert_int_equal(fetch(&s, name), WEIR_OK);
    assert_true(s.out.len < strlen(s.folder) + 80);
    char *folder = strdup(s.folder);
    end(&s);
    fetch_remove_folder(folder);
    assert_int_not_equal(access(folder, F_OK), 0);
    fetch_remove_folder(folder); /* gone already */
    fetch_remove_folder(NULL);
    free(folder);
}

static void test_a_folder_that_cannot_be(void **state) {
    (void)state;
    scene s = begin(LONG);
    FILE *f = fopen(s.folder, "w"); /* a file stands there */
    assert_non_null(f);
    fclose(f);
    assert_int_equal(fetch(&s, "file:x"), WEIR_E_IO);
    assert_non_null(strstr(error_text(s.err), s.folder));
    unlink(s.folder);
    end(&s);
}

static void test_failures(void **state) {
    (void)state;
    scene s = begin(LONG);
    assert_int_equal(fetch(&s, "denied"), WEIR_E_PERMISSION);
    assert_string_equal(error_text(s.err), "not for you");
    assert_true(str_eq_z(error_get_detail(s.err, WEIR_DETAIL_HINT), "ask nicely"));
    assert_int_equal(fetch(&s, "nothing"), WEIR_E_NOT_FOUND);
    assert_int_equal(fetcher_may_pass(s.fetcher), 0);
    assert_int_equal(fetch(&s, "busy"), WEIR_E_THROTTLED);
    assert_int_equal(fetch(&s, "silent"), WEIR_E_IO);
    assert_non_null(strstr(error_text(s.err), "answers io without a word"));
    assert_int_equal(fetch(&s, "odd"), WEIR_E_INTERNAL);
    assert_int_equal(fetch(&s, "kind"), WEIR_E_INTERNAL);
    assert_int_equal(fetch(&s, "nowhere"), WEIR_E_INTERNAL);
    assert_int_equal(fetch_from(&s, "closed", "x"), WEIR_E_AUTH);
    assert_non_null(strstr(error_text(s.err), "the door is locked"));
    assert_int_equal(fetcher_failed(s.fetcher), 8);
    assert_int_equal(fetcher_may_pass(s.fetcher), 5);
    assert_int_equal(fetch(&s, "value:x"), WEIR_OK);
    assert_false(fetcher_interrupted(s.fetcher));
    end(&s);
}

/* Cancelled at its deadline; the next question gets an instance that is not. */
static void test_deadline(void **state) {
    (void)state;
    scene s = begin(CLOCK_NS_PER_MS);
    assert_int_equal(fetch(&s, "slow"), WEIR_E_TIMEOUT);
    assert_int_equal(fetch(&s, "calls"), WEIR_OK);
    assert_string_equal(s.out.data, "1");
    assert_int_equal(fetcher_may_pass(s.fetcher), 1);
    end(&s);
}

static void test_interrupted(void **state) {
    (void)state;
    scene s = begin(LONG);
    assert_int_equal(fetch(&s, "value:x"), WEIR_OK);
    wanted_no_more = true;
    assert_int_equal(fetch(&s, "slow"), WEIR_E_CANCELLED);
    assert_true(fetcher_interrupted(s.fetcher));
    wanted_no_more = false;
    assert_int_equal(fetch(&s, "value:x"), WEIR_E_CANCELLED);
    end(&s);
}

/* What does not come back is left where it is, and asked nothing more. */
static void test_hang(void **state) {
    (void)state;
    scene s = begin(CLOCK_NS_PER_MS);
    assert_int_equal(fetch(&s, "hang"), WEIR_E_TIMEOUT);
    assert_non_null(strstr(error_text(s.err), "not even when it is cancelled"));
    assert_int_equal(fetch(&s, "value:x"), WEIR_E_TIMEOUT);
    assert_int_equal(fetch_from(&s, "closed", "x"), WEIR_E_AUTH);
    fetcher_free(s.fetcher);
    error_free(s.err);
    buf_free(&s.out);
    free(s.folder);
    /* The registry stays: the plugin is still running. */
}

static void test_stale_folders(void **state) {
    (void)state;
    char parent[] = "/tmp/weir-fetch-XXXXXX", path[128];
    assert_non_null(mkdtemp(parent));
    static const char *const names[] = {"fetched-1", "fetched-2", "checkpoints"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", parent, names[i]);
        assert_int_equal(mkdir(path, 0700), 0);
        snprintf(path, sizeof path, "%s/%s/1-x", parent, names[i]);
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fclose(f);
    }
    fetch_remove_folders(parent, "fetched-");
    snprintf(path, sizeof path, "%s/fetched-1", parent);
    assert_int_not_equal(access(path, F_OK), 0);
    snprintf(path, sizeof path, "%s/fetched-2", parent);
    assert_int_not_equal(access(path, F_OK), 0);
    snprintf(path, sizeof path, "%s/checkpoints/1-x", parent);
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
    snprintf(path, sizeof path, "%s/checkpoints", parent);
    rmdir(path);
    /* A link is not followed. */
    char elsewhere[128];
    snprintf(elsewhere, sizeof elsewhere, "%s/keep", parent);
    assert_int_equal(mkdir(elsewhere, 0700), 0);
    snprintf(path, sizeof path, "%s/keep/x", parent);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
    char link[128];
    snprintf(link, sizeof link, "%s/fetched-3", parent);
    assert_int_equal(symlink(elsewhere, link), 0);
    fetch_remove_folders(parent, "fetched-");
    assert_int_equal(access(path, F_OK), 0);
    unlink(link);
    unlink(path);
    rmdir(elsewhere);
    rmdir(parent);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_a_folder_that_cannot_be),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_interrupted),
        cmocka_unit_test(test_hang),
        cmocka_unit_test(test_stale_folders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
