#include "loader/version.h"

#include "base/str.h"
#include "support.h"

static void test_abi_numbers(void **state) {
    uint32_t minor = 77;
    (void)state;
    assert_true(version_abi_minor(STR("0.9"), &minor));
    assert_int_equal(minor, 9);
    assert_true(version_abi_minor(STR("0.10"), &minor));
    assert_int_equal(minor, 10);
    assert_true(version_abi_minor(STR("1.0"), &minor));
    assert_int_equal(minor, 1000);
    assert_true(version_abi_minor(STR("1.12"), &minor));
    assert_int_equal(minor, 1012);
    const char *wrong[] = {"",     "1",    "1.", ".9",  "0.9.1",  "0.09",          "00.9", "2.0",
                           "-1.0", "0.9 ", "x",  "1.x", "0.1000", "1.99999999999", "0x1.0"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_false(version_abi_minor(str_of(wrong[i]), &minor));
    }
}

static weir_status check(uint32_t major, const char *built, const char *requires,
                         uint32_t host_minor, const char *host, weir_error *err) {
    note n = {0};
    n.abi_major = major;
    n.abi_built_with = str_of(built);
    n.abi_requires = str_of(requires);
    n.platform = str_of(version_platform());
    return version_check_abi(&n, host_minor, host, err);
}

static void test_who_serves_whom(void **state) {
    weir_error *err = error_new();
    (void)state;
    assert_int_equal(check(1, "0.9", "0.9", 9, "0.9", err), WEIR_OK);
    assert_int_equal(check(1, "0.9", "0.9", 10, "0.10", err), WEIR_OK);
    assert_int_equal(check(1, "0.10", "0.9", 9, "0.9", err), WEIR_OK);
    assert_int_equal(check(1, "1.3", "1.0", 1001, "1.1", err), WEIR_OK);

    assert_int_equal(check(1, "0.10", "0.10", 9, "0.9", err), WEIR_E_INCOMPATIBLE);
    assert_contains(error_text(err), "needs plugin ABI 0.10 or newer, this host has 0.9");
    assert_int_equal(check(1, "0.9", "0.9", 1000, "1.0", err), WEIR_E_INCOMPATIBLE);
    assert_contains(error_text(err), "draft ABI 0.9, this host has the release 1.0");
    assert_int_equal(check(1, "1.0", "1.0", 9, "0.9", err), WEIR_E_INCOMPATIBLE);
    assert_contains(error_text(err), "needs plugin ABI 1.0 or newer, this host has 0.9");
    assert_int_equal(check(2, "2.0", "2.0", 9, "0.9", err), WEIR_E_INCOMPATIBLE);
    assert_contains(error_text(err), "major 2 (built with 2.0), this host has major 1 (0.9)");
    assert_int_equal(check(1, "nine", "0.9", 9, "0.9", err), WEIR_E_DATA);
    error_free(err);
}

static void test_platform(void **state) {
    weir_error *err = error_new();
    note n = {0};
    (void)state;
    n.abi_major = 1;
    n.abi_built_with = n.abi_requires = STR("0.9");
    n.platform = STR("plan9-mips");
    assert_int_equal(version_check_abi(&n, 9, "0.9", err), WEIR_E_INCOMPATIBLE);
    assert_contains(error_text(err), "built for plan9-mips, this host runs on linux-");
    error_free(err);
}

/* The order that semver.org gives as an example, and more. */
static void test_order(void **state) {
    static const char *const order[] = {
        "junk",       "1.0.0-alpha",  "1.0.0-alpha.1", "1.0.0-alpha.beta",
        "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",
        "1.0.0",      "1.0.9",        "1.0.10",        "1.2.0",
        "2.0.0"};
    size_t count = sizeof order / sizeof *order;
    (void)state;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < count; k++) {
            int got = version_compare(str_of(order[i]), str_of(order[k]));
            assert_int_equal(got < 0 ? -1 : got > 0, i < k ? -1 : i > k);
        }
    }
    assert_int_equal(version_compare(STR("1.0.0+a"), STR("1.0.0+b")), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_abi_numbers),
        cmocka_unit_test(test_who_serves_whom),
        cmocka_unit_test(test_platform),
        cmocka_unit_test(test_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
