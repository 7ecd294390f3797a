/* Hash keys and sequence numbers: vectors, order, round trips, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "kinesis/numbers.h"
#include "kinesis/stream.h"

#define MAX "340282366920938463463374607431768211455"

static void hash_keys_of_partition_keys(void **state) {
    (void)state;
    static const struct {
        const char *key, *hash;
    } vectors[] = {
        {"a", "16955237001963240173058271559858726497"},
        {"partition-1", "198019941650871988756153596255032211816"},
        {"key-0", "239606560113066237791549349790285249783"},
        {"\xe6\x97\xa5\xe6\x9c\xac", "103341369634063465466164320543046703539"},
        {"pk-a", "37734456349525827306212900493151175156"},
        {"pk-b", "85407741071154541078745004925322871391"},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        char text[HASH_KEY_TEXT];
        hash_key parsed;
        hash_key_write(hash_key_of(str_of(vectors[i].key)), text);
        assert_string_equal(text, vectors[i].hash);
        assert_true(hash_key_parse(str_of(text), &parsed));
        assert_true(parsed == hash_key_of(str_of(vectors[i].key)));
    }
}

static void hash_keys_that_are_none(void **state) {
    (void)state;
    hash_key h;
    assert_true(hash_key_parse(STR("0"), &h) && h == 0);
    assert_true(hash_key_parse(STR(MAX), &h) && h == HASH_KEY_MAX);
    static const char *const bad[] = {"",
                                      "00",
                                      "01",
                                      "-1",
                                      "+1",
                                      "1 ",
                                      "a",
                                      "340282366920938463463374607431768211456",
                                      "999999999999999999999999999999999999999",
                                      "3402823669209384634633746074317682114550"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(hash_key_parse(str_of(bad[i]), &h));
}

static void even_layouts(void **state) {
    (void)state;
    char text[HASH_KEY_TEXT];
    hash_key_write(hash_key_even(1, 2), text);
    assert_string_equal(text, "170141183460469231731687303715884105728");
    hash_key_write(hash_key_even(1, 3), text);
    assert_string_equal(text, "113427455640312821154458202477256070485");
    hash_key_write(hash_key_even(3, 4), text);
    assert_string_equal(text, "255211775190703847597530955573826158592");
    assert_true(hash_key_even(0, 7) == 0 && hash_key_even(0, 1) == 0);
}

static sequence make(uint32_t of_shard, uint64_t number, uint64_t second) {
    return (sequence){UINT64_C(1795277518), of_shard, number, second};
}

static void sequence_numbers_come_back(void **state) {
    (void)state;
    static const uint32_t shards[] = {0, 1, 15, 16, 255, 9999, UINT32_MAX};
    static const uint64_t records[] = {0, 1, 500, UINT64_C(1) << 32, UINT64_MAX};
    for (size_t i = 0; i < 7; i++)
        for (size_t k = 0; k < 5; k++) {
            char text[SEQUENCE_TEXT];
            sequence s = make(shards[i], records[k], UINT64_C(1795277600)), back;
            assert_int_equal(sequence_write(&s, text), 56);
            assert_true(sequence_parse(str_of(text), &back));
            assert_int_equal(back.shard_second, s.shard_second);
            assert_int_equal(back.shard, s.shard);
            assert_true(back.record == s.record);
            assert_int_equal(back.second, s.second);
        }
}

static void sequence_numbers_grow(void **state) {
    (void)state;
    char before[SEQUENCE_TEXT] = "", text[SEQUENCE_TEXT];
    for (uint64_t n = 0; n < 5000; n++) {
        /* The second may stand still or go on: the record's number decides. */
        sequence s = make(3, n, UINT64_C(1795277600) + n / 1000);
        unsigned len = sequence_write(&s, text);
        assert_int_equal(len, 56);
        assert_true(strcmp(text, before) > 0);
        memcpy(before, text, sizeof text);
    }
}

static void sequence_numbers_that_are_none(void **state) {
    (void)state;
    sequence s;
    static const char *const bad[] = {
        "",
        "0",
        "12",
        "abc",
        "99999999999999999999999999999999999999999999999999999999",
        "999999999999999999999999999999999999999999999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(sequence_parse(str_of(bad[i]), &s));
    /* One digit more or less in a good one. */
    char text[SEQUENCE_TEXT];
    s = make(1, 77, UINT64_C(1795277600));
    sequence_write(&s, text);
    text[55] = (char)(text[55] == '9' ? '8' : text[55] + 1);
    assert_false(sequence_parse(str_of(text), &s));
    assert_false(sequence_parse(str_make(text, 55), &s));
}

static void limits_by_region(void **state) {
    (void)state;
    static const char *const large[] = {"us-east-1", "us-west-2", "eu-west-1"};
    static const char *const others[] = {"us-east-2", "eu-central-1", "cn-north-1", "us-west-1",
                                         ""};
    for (size_t i = 0; i < sizeof large / sizeof large[0]; i++) {
        assert_int_equal(kinesis_account_shards_of(large[i]), 500);
        assert_int_equal(kinesis_on_demand_max(large[i]), 10240);
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_int_equal(kinesis_account_shards_of(others[i]), 200);
        assert_int_equal(kinesis_on_demand_max(others[i]), 200);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash_keys_of_partition_keys),
        cmocka_unit_test(hash_keys_that_are_none),
        cmocka_unit_test(even_layouts),
        cmocka_unit_test(limits_by_region),
        cmocka_unit_test(sequence_numbers_come_back),
        cmocka_unit_test(sequence_numbers_grow),
        cmocka_unit_test(sequence_numbers_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
