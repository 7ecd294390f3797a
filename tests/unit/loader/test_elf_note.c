/*
 * The note reader against hostile files: mutations of a real plugin. What matters in each is that
 * the reader returns, in bounded time, without touching memory that is not its own (the sanitizer
 * builds watch), and that what it accepts is what the file really holds.
 */
#include "loader/elf_note.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "base/arena.h"
#include "support.h"
#include "weir/plugin.h"

typedef struct file {
    char *bytes;
    size_t size;
    Elf64_Ehdr header;
    size_t note_at; /* file offset of our note's header */
    int fd;         /* a memory file to write mutations to */
    arena *memory;
    weir_error *err;
} file;

static int setup(void **state) {
    file *f = calloc(1, sizeof *f);
    f->bytes = read_whole(FIXTURES "/good/sample.so", &f->size);
    memcpy(&f->header, f->bytes, sizeof f->header);
    for (size_t at = 0; at + 20 < f->size; at += 4) {
        if (memcmp(f->bytes + at + 8, "\x52\x49\x45\x57weir\0", 9) == 0) f->note_at = at;
    }
    assert_int_not_equal(f->note_at, 0);
    f->fd = memfd_create("mutation", 0);
    f->memory = arena_new(4u << 20);
    f->err = error_new();
    *state = f;
    return 0;
}

static int teardown(void **state) {
    file *f = *state;
    free(f->bytes);
    close(f->fd);
    arena_free(f->memory);
    error_free(f->err);
    free(f);
    return 0;
}

static weir_status find(file *f, const char *bytes, size_t size, weir_str *out) {
    *out = (weir_str){NULL, 0};
    arena_reset(f->memory);
    error_clear(f->err);
    assert_int_equal(ftruncate(f->fd, 0), 0);
    assert_int_equal(pwrite(f->fd, bytes, size, 0), (ssize_t)size);
    return elf_note_find(f->fd, size, f->memory, out, f->err);
}

static void put32(char *at, uint32_t v) {
    memcpy(at, &v, sizeof v);
}

static void test_good(void **state) {
    file *f = *state;
    weir_str json;
    assert_int_equal(find(f, f->bytes, f->size, &json), WEIR_OK);
    assert_int_equal(json.ptr[0], '{');
    assert_int_equal(json.ptr[json.len - 1], '}');
    assert_int_equal(json.ptr[json.len], '\0');
    assert_contains(json.ptr, "\"dev.weir.test.sample\"");
}

/* Every truncation is an error: the tables at the end, or a segment, are missing. */
static void test_truncation(void **state) {
    file *f = *state;
    weir_str json;
    for (size_t size = 0; size < f->size; size += 64) {
        weir_status status = find(f, f->bytes, size, &json);
        assert_int_equal(status, WEIR_E_DATA);
        assert_contains(error_text(f->err),
                        size < sizeof f->header ? "not an ELF file" : "truncated");
    }
    assert_int_equal(find(f, f->bytes, f->size - 1, &json), WEIR_E_DATA);
}

/* Without section headers the segments still tell a truncated file. */
static void test_truncation_without_sections(void **state) {
    file *f = *state;
    weir_str json;
    char *copy = malloc(f->size);
    size_t needed = 0;
    memcpy(copy, f->bytes, f->size);
    memset(copy + offsetof(Elf64_Ehdr, e_shoff), 0, sizeof(uint64_t));
    for (unsigned i = 0; i < f->header.e_phnum; i++) {
        Elf64_Phdr p;
        memcpy(&p, copy + f->header.e_phoff + i * sizeof p, sizeof p);
        if (p.p_offset + p.p_filesz > needed) needed = p.p_offset + p.p_filesz;
    }
    for (size_t size = 64; size < f->size; size += 64) {
        weir_status status = find(f, copy, size, &json);
        assert_int_equal(status, size < needed ? WEIR_E_DATA : WEIR_OK);
    }
    free(copy);
}

/* The other way round: no PT_NOTE, the section leads to the note. */
static void test_section_way(void **state) {
    file *f = *state;
    weir_str json;
    char *copy = malloc(f->size);
    memcpy(copy, f->bytes, f->size);
    for (unsigned i = 0; i < f->header.e_phnum; i++) {
        char *at = copy + f->header.e_phoff + i * sizeof(Elf64_Phdr);
        Elf64_Phdr p;
        memcpy(&p, at, sizeof p);
        if (p.p_type == PT_NOTE) put32(at, PT_NULL);
    }
    assert_int_equal(find(f, copy, f->size, &json), WEIR_OK);
    assert_contains(json.ptr, "\"dev.weir.test.sample\"");
    memset(copy + offsetof(Elf64_Ehdr, e_shoff), 0, sizeof(uint64_t));
    assert_int_equal(find(f, copy, f->size, &json), WEIR_E_NOT_FOUND);
    assert_contains(error_text(f->err), "no weir note");
    free(copy);
}

/* Each byte of the tables, set to values that make sizes and offsets small, huge and negative. */
static void flip(file *f, size_t from, size_t to) {
    static const unsigned char values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    char *copy = malloc(f->size);
    weir_str json;
    memcpy(copy, f->bytes, f->size);
    assert_int_equal(ftruncate(f->fd, 0), 0);
    assert_int_equal(pwrite(f->fd, copy, f->size, 0), (ssize_t)f->size);
    for (size_t at = from; at < to && at < f->size; at++) {
        for (size_t v = 0; v < sizeof values; v++) {
            assert_int_equal(pwrite(f->fd, &values[v], 1, (off_t)at), 1);
            arena_reset(f->memory);
            error_clear(f->err);
            json = (weir_str){NULL, 0};
            weir_status status = elf_note_find(f->fd, f->size, f->memory, &json, f->err);
            if (status == WEIR_OK) {
                assert_non_null(json.ptr);
                assert_true(json.len <= f->size);
            } else {
                assert_true(status < 0);
                assert_int_equal(status, error_status(f->err));
                assert_int_not_equal(error_text(f->err)[0], '\0');
            }
        }
        assert_int_equal(pwrite(f->fd, copy + at, 1, (off_t)at), 1);
    }
    free(copy);
}

static void test_flipped_header(void **state) {
    flip(*state, 0, sizeof(Elf64_Ehdr));
}
static void test_flipped_segments(void **state) {
    file *f = *state;
    size_t size = f->header.e_phnum * sizeof(Elf64_Phdr);
    flip(f, f->header.e_phoff, f->header.e_phoff + size);
}
static void test_flipped_sections(void **state) {
    file *f = *state;
    size_t size = f->header.e_shnum * sizeof(Elf64_Shdr);
    flip(f, f->header.e_shoff, f->header.e_shoff + size);
}
static void test_flipped_note(void **state) {
    file *f = *state;
    flip(f, f->note_at, f->note_at + 24);
}

static void test_lying_note(void **state) {
    file *f = *state;
    weir_str json;
    char *copy = malloc(f->size);
    const uint32_t sizes[] = {0x7fffffff, 0x80000000, 0xffffffff, 0xfffffff0, 1u << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        memcpy(copy, f->bytes, f->size);
        put32(copy + f->note_at + 4, sizes[i]);
        assert_int_equal(find(f, copy, f->size, &json), WEIR_E_DATA);
        assert_contains(error_text(f->err), "lies about its size");
    }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        memcpy(copy, f->bytes, f->size);
        put32(copy + f->note_at, sizes[i]);
        assert_int_equal(find(f, copy, f->size, &json), WEIR_E_DATA);
    }
    /* An empty descriptor is within the rules of ELF; the JSON reader refuses it later. */
    memcpy(copy, f->bytes, f->size);
    put32(copy + f->note_at + 4, 0);
    weir_status status = find(f, copy, f->size, &json);
    assert_true(status == WEIR_OK || status == WEIR_E_DATA);
    free(copy);
}

/* A file that consists of one note segment of `size` bytes, made by `fill`. */
static char *one_segment(size_t size, size_t segments, size_t *total) {
    size_t at = sizeof(Elf64_Ehdr) + segments * sizeof(Elf64_Phdr);
    char *bytes = calloc(1, at + size);
    Elf64_Ehdr header = {.e_type = ET_DYN,
                         .e_version = EV_CURRENT,
                         .e_phoff = sizeof header,
                         .e_phentsize = sizeof(Elf64_Phdr),
                         .e_phnum = (Elf64_Half)segments};
    file real;
    real.bytes = read_whole(FIXTURES "/good/sample.so", &real.size);
    memcpy(header.e_ident, real.bytes, EI_NIDENT);
    memcpy(&header.e_machine, real.bytes + offsetof(Elf64_Ehdr, e_machine),
           sizeof header.e_machine);
    free(real.bytes);
    memcpy(bytes, &header, sizeof header);
    for (size_t i = 0; i < segments; i++) {
        Elf64_Phdr p = {.p_type = PT_NOTE, .p_offset = at, .p_filesz = size, .p_align = 4};
        memcpy(bytes + sizeof header + i * sizeof p, &p, sizeof p);
    }
    *total = at + size;
    return bytes;
}

static void test_huge_descriptor(void **state) {
    file *f = *state;
    weir_str json;
    size_t total;
    size_t desc = WEIR_NOTE_BYTES_MAX + 1;
    char *bytes = one_segment(20 + desc + 3, 1, &total);
    char *at = bytes + total - (20 + desc + 3);
    put32(at, 5);
    put32(at + 4, (uint32_t)desc);
    put32(at + 8, WEIR_NOTE_TYPE);
    memcpy(at + 12, "weir", 5);
    assert_int_equal(find(f, bytes, total, &json), WEIR_E_TOO_LARGE);
    assert_contains(error_text(f->err), "1048577 bytes, at most 1048576");
    put32(at + 4, (uint32_t)desc - 1);
    assert_int_equal(find(f, bytes, total, &json), WEIR_OK);
    assert_int_equal(json.len, desc - 1);
    free(bytes);
}

/* Thousands of empty notes, and as many segments that all show the same ones. */
static void test_note_flood(void **state) {
    file *f = *state;
    weir_str json;
    size_t total;
    char *bytes = one_segment(12 * 100000, 1, &total);
    assert_int_equal(find(f, bytes, total, &json), WEIR_E_DATA);
    assert_contains(error_text(f->err), "more than 1024 notes");
    free(bytes);
    bytes = one_segment(12 * 100, 4000, &total);
    assert_int_equal(find(f, bytes, total, &json), WEIR_E_DATA);
    assert_contains(error_text(f->err), "more than 1024 notes");
    free(bytes);
    bytes = one_segment(12, 5000, &total);
    assert_int_equal(find(f, bytes, total, &json), WEIR_E_DATA);
    assert_contains(error_text(f->err), "5000 program headers, at most");
    free(bytes);
}

static void test_two_notes(void **state) {
    file *f = *state;
    weir_str json;
    size_t total;
    char *bytes = one_segment(48, 1, &total);
    for (unsigned i = 0; i < 2; i++) {
        char *at = bytes + total - 48 + 24 * i;
        put32(at, 5);
        put32(at + 4, 2);
        put32(at + 8, WEIR_NOTE_TYPE);
        memcpy(at + 12, "weir\0\0\0\0{}", 10);
    }
    assert_int_equal(find(f, bytes, total, &json), WEIR_E_DATA);
    assert_contains(error_text(f->err), "two weir notes");
    /* One note that two segments show is still one. */
    put32(bytes + total - 24, 0);
    assert_int_equal(find(f, bytes, total, &json), WEIR_OK);
    assert_int_equal(json.len, 2);
    free(bytes);
}

static void test_other_files(void **state) {
    file *f = *state;
    weir_str json;
    char text[100] = "#!/bin/sh\n";
    assert_int_equal(find(f, text, sizeof text, &json), WEIR_E_DATA);
    assert_contains(error_text(f->err), "no ELF magic");
    char *copy = malloc(f->size);
    memcpy(copy, f->bytes, f->size);
    copy[EI_CLASS] = ELFCLASS32;
    assert_int_equal(find(f, copy, f->size, &json), WEIR_E_DATA);
    assert_contains(error_text(f->err), "64-bit");
    memcpy(copy, f->bytes, f->size);
    copy[offsetof(Elf64_Ehdr, e_machine)] = 8;
    assert_int_equal(find(f, copy, f->size, &json), WEIR_E_INCOMPATIBLE);
    assert_contains(error_text(f->err), "another processor");
    memcpy(copy, f->bytes, f->size);
    copy[offsetof(Elf64_Ehdr, e_type)] = ET_EXEC;
    assert_int_equal(find(f, copy, f->size, &json), WEIR_E_DATA);
    assert_contains(error_text(f->err), "not a shared object");
    free(copy);
}

/* A descriptor that the arena has no room for. */
static void test_no_memory(void **state) {
    file *f = *state;
    weir_str json;
    arena *big = f->memory;
    f->memory = arena_new(64);
    weir_status status = find(f, f->bytes, f->size, &json);
    arena_free(f->memory);
    f->memory = big;
    assert_int_equal(status, WEIR_E_NOMEM);
}

/* The file shrinks between fstat and the reads. */
static void test_shrinking(void **state) {
    file *f = *state;
    weir_str json = {NULL, 0};
    int fd = memfd_create("short", 0);
    assert_int_equal(write(fd, f->bytes, f->note_at + 40), (ssize_t)f->note_at + 40);
    assert_int_equal(elf_note_find(fd, f->size, f->memory, &json, f->err), WEIR_E_DATA);
    assert_contains(error_text(f->err), "became shorter");
    close(fd);
    assert_int_equal(elf_note_find(-1, f->size, f->memory, &json, f->err), WEIR_E_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_truncation_without_sections),
        cmocka_unit_test(test_section_way),
        cmocka_unit_test(test_flipped_header),
        cmocka_unit_test(test_flipped_segments),
        cmocka_unit_test(test_flipped_sections),
        cmocka_unit_test(test_flipped_note),
        cmocka_unit_test(test_lying_note),
        cmocka_unit_test(test_huge_descriptor),
        cmocka_unit_test(test_note_flood),
        cmocka_unit_test(test_two_notes),
        cmocka_unit_test(test_other_files),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_shrinking),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
