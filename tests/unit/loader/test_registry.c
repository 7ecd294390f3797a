#include <fcntl.h>

#include "base/mem.h"
#include "base/str.h"
#include "loader/digest.h"
#include "loader/loader.h"
#include "support.h"

typedef struct world { /* folders of one test; the environment points to them */
    char *root, *first, *second, *data;
    weir_error *err;
} world;

static char *folder(const char *parent, const char *name) {
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%s", parent, name) > 0);
    assert_int_equal(mkdir(path, 0755), 0);
    return path;
}

static int setup(void **state) {
    world *w = calloc(1, sizeof *w);
    char *path = NULL;
    w->root = make_folder();
    w->first = folder(w->root, "first");
    w->second = folder(w->root, "second");
    w->data = folder(w->root, "data");
    free(folder(w->data, "weir"));
    assert_true(asprintf(&path, "%s:%s", w->first, w->second) > 0);
    setenv("WEIR_PLUGIN_PATH", path, 1);
    setenv("XDG_DATA_HOME", w->data, 1);
    setenv("HOME", w->root, 1);
    free(path);
    w->err = error_new();
    *state = w;
    return 0;
}

static int teardown(void **state) {
    world *w = *state;
    error_free(w->err);
    free(w->first);
    free(w->second);
    free(w->data);
    remove_folder(w->root);
    free(w);
    return 0;
}

/* Copies the sample plugin to folder/name, its version and id replaced by ones of equal length. */
static char *plant(const char *where, const char *name, const char *version, const char *id) {
    size_t size;
    char *bytes = read_whole(FIXTURES "/good/sample.so", &size);
    char *path = NULL;
    for (size_t at = 0; at + 40 < size; at++) {
        if (memcmp(bytes + at, "\"1.2.3\"", 7) == 0) memcpy(bytes + at + 1, version, 5);
        if (memcmp(bytes + at, "\"dev.weir.test.sample\"", 22) == 0) memcpy(bytes + at + 1, id, 20);
    }
    assert_true(asprintf(&path, "%s/%s", where, name) > 0);
    write_whole(path, bytes, size);
    free(bytes);
    return path;
}

#define ID "dev.weir.test.sample"
#define OTHER "dev.weir.test.second"

static void assert_text(weir_str s, const char *z) {
    if (!str_eq_z(s, z)) fail_msg("\"%.*s\" is not \"%s\"", STR_FMT(s), z);
}

static char *explain(const registry *r, uint32_t kind, const char *name) {
    buf out;
    buf_init(&out, 1 << 20);
    registry_explain(r, kind, str_of(name), &out);
    assert_true(buf_ok(&out));
    return out.data;
}

/* The other tests count what they plant. This one says what is wrong if there is more: the folder
 * of the program, "program/../lib", has to be one that nothing is built or installed into. */
static void test_nothing_but_what_is_planted(void **state) {
    (void)state;
    registry *r = registry_new();
    registry_scan(r);
    char *text = explain(r, WEIR_KIND_SINK, "sum");
    if (registry_plugin_count(r) + registry_refusal_count(r) > 0) print_error("%s\n", text);
    assert_int_equal(registry_plugin_count(r), 0);
    assert_int_equal(registry_refusal_count(r), 0);
    assert_contains(text, "/tests/loader/lib/weir/plugins-1 (program): does not exist");
    free(text);
    registry_free(r);
}

static void test_finds_components(void **state) {
    world *w = *state;
    free(plant(w->second, "a.so", "1.2.3", ID));
    registry *r = registry_new();
    registry_scan(r);
    assert_int_equal(registry_plugin_count(r), 1);
    assert_int_equal(registry_refusal_count(r), 0);
    const component_ref *c = registry_find(r, WEIR_KIND_SINK, STR("sum"));
    assert_non_null(c);
    assert_text(component_note(c)->name, "sum");
    assert_text(plugin_ref_note(component_plugin(c))->id, ID);
    assert_ptr_equal(component_plugin(c), registry_plugin(r, 0));
    assert_null(registry_find(r, WEIR_KIND_SOURCE, STR("sum")));
    assert_null(registry_find(r, WEIR_KIND_SINK, STR("summ")));
    assert_null(registry_plugin(r, 1));
    registry_free(r);
}

static void test_first_place_wins(void **state) {
    world *w = *state;
    free(plant(w->first, "z.so", "1.0.0", ID));
    free(plant(w->second, "a.so", "9.0.0", ID));
    free(plant(w->second, "b.so", "1.0.0", OTHER));
    registry *r = registry_new();
    registry_scan(r);
    assert_int_equal(registry_plugin_count(r), 2);
    assert_text(plugin_ref_note(registry_plugin(r, 0))->version, "1.0.0");
    assert_text(plugin_ref_note(registry_plugin(r, 1))->id, OTHER);
    registry_free(r);
}

/* Packages live side by side as <id>/<version>-<hash8>/x.so; the newest version counts. */
static void test_newest_version_wins(void **state) {
    world *w = *state;
    char *place = folder(w->data, "weir/plugins-1");
    char *id = folder(place, ID);
    char *old = folder(id, "1.9.0-00000000");
    char *new = folder(id, "2.0.0-00000000");
    char *older = folder(id, "1.2.0-00000000");
    free(plant(old, "x.so", "1.9.0", ID));
    free(plant(new, "x.so", "2.0.0", ID));
    free(plant(older, "x.so", "1.2.0", ID));
    registry *r = registry_new();
    registry_scan(r);
    assert_int_equal(registry_plugin_count(r), 1);
    assert_text(plugin_ref_note(registry_plugin(r, 0))->version, "2.0.0");
    registry_free(r);
    free(place);
    free(id);
    free(old);
    free(new);
    free(older);
}

static const char *path_of(const plugin_ref *p) {
    return plugin_ref_note(p)->path.ptr;
}

/* What does not count is told, with the file that does: nothing disappears. */
static void test_shadowed(void **state) {
    world *w = *state;
    char *used = plant(w->first, "z.so", "1.0.0", ID);
    char *other = plant(w->first, "other.so", "1.0.0", OTHER);
    char *newer = plant(w->second, "a.so", "9.0.0", ID);
    char *older = plant(w->second, "b.so", "8.0.0", ID);
    char *link = NULL;
    assert_true(asprintf(&link, "%s/link.so", w->second) > 0);
    assert_int_equal(symlink(other, link), 0); /* the same file: hides nothing */
    registry *r = registry_new();
    const plugin_ref *by = NULL;
    assert_int_equal(registry_shadowed_count(r), 0);
    assert_null(registry_shadowed(r, 0, &by));
    registry_scan(r);
    assert_int_equal(registry_plugin_count(r), 2);
    assert_int_equal(registry_refusal_count(r), 0);
    assert_int_equal(registry_shadowed_count(r), 2);
    assert_string_equal(path_of(registry_shadowed(r, 0, &by)), newer);
    assert_string_equal(path_of(by), used);
    assert_string_equal(path_of(registry_shadowed(r, 1, &by)), older);
    assert_string_equal(path_of(by), used);
    assert_null(registry_shadowed(r, 2, &by));
    char *text = explain(r, WEIR_KIND_SINK, "sum");
    char line[1024];
    (void)snprintf(line, sizeof line, "%s (9.0.0) has it, but is shadowed by %s (1.0.0)", newer,
                   used);
    assert_contains(text, line);
    assert_null(strstr(text, "link.so"));
    free(text);
    /* One named by path goes before all of them. */
    char *named = plant(w->root, "mine.so", "0.1.0", ID);
    assert_int_equal(registry_add(r, named, NULL, w->err), WEIR_OK);
    assert_int_equal(registry_shadowed_count(r), 3);
    assert_string_equal(path_of(registry_shadowed(r, 0, &by)), used);
    assert_string_equal(path_of(by), named);
    registry_free(r);
    free(used);
    free(other);
    free(newer);
    free(older);
    free(link);
    free(named);
}

/* Without a kind, a word may be meant for a plugin or for a component of any kind. */
static void test_nearest_of_any_kind(void **state) {
    world *w = *state;
    free(plant(w->first, "a.so", "1.0.0", ID));
    registry *r = registry_new();
    registry_scan(r);
    static const struct {
        const char *word, *meant;
    } cases[] = {{"sampel", "sample"}, {"tiks", "ticks"}, {"dev.weir.tset.sample", ID}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char line[128];
        char *text = explain(r, 0, cases[i].word);
        (void)snprintf(line, sizeof line, "did you mean \"%s\"?", cases[i].meant);
        assert_contains(text, line);
        free(text);
    }
    char *text = explain(r, WEIR_KIND_SINK, "sampel"); /* a plugin is no sink */
    assert_null(strstr(text, "did you mean"));
    free(text);
    text = explain(r, 0, "quite-another");
    assert_null(strstr(text, "did you mean"));
    free(text);
    registry_free(r);
}

static void test_named_path_wins(void **state) {
    world *w = *state;
    free(plant(w->first, "a.so", "9.0.0", ID));
    char *named = plant(w->root, "mine.so", "1.0.0", ID);
    for (int before = 0; before < 2; before++) {
        registry *r = registry_new();
        if (!before) registry_scan(r);
        assert_int_equal(registry_add(r, named, NULL, w->err), WEIR_OK);
        assert_int_equal(registry_add(r, named, NULL, w->err), WEIR_OK); /* twice is once */
        if (before) registry_scan(r);
        assert_int_equal(registry_plugin_count(r), 1);
        assert_text(plugin_ref_note(registry_plugin(r, 0))->version, "1.0.0");
        registry_free(r);
    }
    char *twin = plant(w->root, "twin.so", "1.1.0", ID);
    registry *r = registry_new();
    assert_int_equal(registry_add(r, named, NULL, w->err), WEIR_OK);
    assert_int_equal(registry_add(r, twin, NULL, w->err), WEIR_E_EXISTS);
    assert_contains(error_text(w->err), "mine.so");
    assert_contains(error_text(w->err), "twin.so");
    assert_int_equal(registry_add(r, "/nowhere/x.so", NULL, w->err), WEIR_E_NOT_FOUND);
    assert_contains(error_text(w->err), "/nowhere/x.so");
    registry_free(r);
    free(named);
    free(twin);
}

static void test_pinned_hash(void **state) {
    world *w = *state;
    char hash[DIGEST_HEX + 1];
    char upper[DIGEST_HEX + 1];
    char *path = plant(w->root, "mine.so", "1.0.0", ID);
    int fd = open(path, O_RDONLY);
    assert_int_equal(digest_file(fd, hash, w->err), WEIR_OK);
    close(fd);
    for (int i = 0; i <= DIGEST_HEX; i++) {
        upper[i] = (char)(hash[i] >= 'a' && hash[i] <= 'f' ? hash[i] - 32 : hash[i]);
    }
    registry *r = registry_new();
    assert_int_equal(registry_add(r, path, "abc", w->err), WEIR_E_INVALID_ARG);
    assert_contains(error_text(w->err), "64 hexadecimal digits");
    assert_int_equal(registry_add(r, path, upper, w->err), WEIR_OK);
    registry_free(r);
    r = registry_new();
    hash[0] = hash[0] == '0' ? '1' : '0';
    assert_int_equal(registry_add(r, path, hash, w->err), WEIR_E_INCOMPATIBLE);
    assert_contains(error_text(w->err), "is not the pinned file: expected sha256");
    assert_contains(error_text(w->err), hash);
    assert_int_equal(registry_plugin_count(r), 0);
    registry_free(r);
    free(path);
}

static void test_refusals(void **state) {
    world *w = *state;
    size_t size;
    char *bytes = read_whole(FIXTURES "/good/sample.so", &size);
    char *path = NULL;
    assert_true(asprintf(&path, "%s/truncated.so", w->first) > 0);
    write_whole(path, bytes, size / 2);
    free(path);
    free(bytes);
    assert_true(asprintf(&path, "%s/text.so", w->first) > 0);
    write_whole(path, "hello", 5);
    free(path);
    assert_true(asprintf(&path, "%s/fifo.so", w->first) > 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    free(path);
    assert_true(asprintf(&path, "%s/dangling.so", w->first) > 0);
    assert_int_equal(symlink("/nowhere", path), 0);
    free(path);
    assert_true(asprintf(&path, "%s/folder.so", w->first) > 0);
    assert_int_equal(mkdir(path, 0755), 0);
    free(path);
    assert_true(asprintf(&path, "%s/readme.txt", w->first) > 0);
    write_whole(path, "no plugin", 9);
    free(path);
    free(plant(w->second, "good.so", "1.2.3", ID));

    registry *r = registry_new();
    registry_scan(r);
    registry_scan(r); /* reads nothing a second time */
    assert_int_equal(registry_plugin_count(r), 1);
    assert_int_equal(registry_refusal_count(r), 5);
    char *text = explain(r, WEIR_KIND_SINK, "sun");
    assert_contains(text, "did you mean \"sum\"?");
    assert_contains(text, "/first (WEIR_PLUGIN_PATH): 0 plugins");
    assert_contains(text, "/second (WEIR_PLUGIN_PATH): 1 plugin");
    assert_contains(text, "/data/weir/plugins-1 (XDG_DATA_HOME): does not exist");
    assert_contains(text, "lib/weir/plugins-1 (program): ");
    assert_contains(text, "/first/truncated.so: truncated");
    assert_contains(text, "/first/text.so: not an ELF file");
    assert_contains(text, "/first/fifo.so: is not a regular file");
    assert_contains(text, "/first/dangling.so: cannot be opened: No such file");
    assert_contains(text, "/first/folder.so: is not a regular file");
    free(text);
    text = explain(r, WEIR_KIND_SOURCE, "sum");
    assert_contains(text, "\"sum\" is a sink, not a source");
    free(text);
    registry_free(r);
}

static void test_relative_folders(void **state) {
    world *w = *state;
    char *here = getcwd(NULL, 0);
    free(plant(w->first, "a.so", "1.2.3", ID));
    assert_int_equal(chdir(w->root), 0);
    setenv("WEIR_PLUGIN_PATH", "::first:.", 1);
    registry *r = registry_new();
    registry_scan(r);
    assert_int_equal(registry_plugin_count(r), 0);
    char *text = explain(r, WEIR_KIND_SINK, "sum");
    assert_contains(text, "first (WEIR_PLUGIN_PATH): ignored: not an absolute path");
    free(text);
    registry_free(r);
    assert_int_equal(chdir(here), 0);
    free(here);
}

static void test_home_without_xdg(void **state) {
    world *w = *state;
    char *home = folder(w->root, "home");
    free(folder(home, ".local"));
    free(folder(home, ".local/share"));
    free(folder(home, ".local/share/weir"));
    char *place = folder(home, ".local/share/weir/plugins-1");
    free(plant(place, "a.so", "1.2.3", ID));
    unsetenv("XDG_DATA_HOME");
    unsetenv("WEIR_PLUGIN_PATH");
    setenv("HOME", home, 1);
    registry *r = registry_new();
    registry_scan(r);
    assert_int_equal(registry_plugin_count(r), 1);
    registry_free(r);
    free(home);
    free(place);
}

/* Which of two plugins with the same component wins does not depend on the file system's order. */
static void test_stable_order(void **state) {
    world *w = *state;
    free(plant(w->first, "b.so", "1.2.3", OTHER));
    free(plant(w->first, "a.so", "1.2.3", ID));
    registry *r = registry_new();
    registry_scan(r);
    assert_int_equal(registry_plugin_count(r), 2);
    const component_ref *c = registry_find(r, WEIR_KIND_SINK, STR("sum"));
    assert_text(plugin_ref_note(component_plugin(c))->id, ID);
    registry_free(r);
}

/* The n-th allocation fails, for all n: the plugin is found, or something says that it is not, and
 * nothing is lost. */
static void test_failing_memory(void **state) {
    world *w = *state;
    char *named = plant(w->first, "a.so", "1.2.3", ID);
    bool failed = true;
    for (int64_t n = 1; failed; n++) {
        assert_true(n < 10000);
        (void)mem_test_fail_at(n, false);
        registry *r = registry_new();
        if (r != NULL) {
            registry_scan(r);
            bool found = registry_find(r, WEIR_KIND_SINK, STR("sum")) != NULL;
            assert_true(found || registry_refusal_count(r) > 0);
            weir_error *err = error_new();
            weir_status status = registry_add(r, named, NULL, err);
            assert_true(status == WEIR_OK || status == WEIR_E_NOMEM);
            error_free(err);
        }
        registry_free(r);
        failed = mem_test_fail_at(0, false);
    }
    free(named);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_but_what_is_planted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_finds_components, setup, teardown),
        cmocka_unit_test_setup_teardown(test_first_place_wins, setup, teardown),
        cmocka_unit_test_setup_teardown(test_newest_version_wins, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shadowed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nearest_of_any_kind, setup, teardown),
        cmocka_unit_test_setup_teardown(test_named_path_wins, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pinned_hash, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_relative_folders, setup, teardown),
        cmocka_unit_test_setup_teardown(test_home_without_xdg, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stable_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failing_memory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
