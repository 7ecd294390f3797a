/*
 * The note of a plugin: an ELF file as a whole, or, for an input that begins with '{', the JSON in
 * its note. Whatever comes, there is a result; what is accepted names a plugin and its components.
 */
#define _GNU_SOURCE /* memfd_create */

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "loader/elf_note.h"
#include "loader/note_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    arena *memory = arena_new(32u << 20);
    weir_error *err = error_new();
    note_reader reader = {0};
    note n = {0};
    weir_status status = WEIR_OK;
    if (memory == NULL || err == NULL) abort();
    if (size > 0 && data[0] == '{') {
        n.json = arena_str(memory, (weir_str){(const char *)data, size});
    } else {
        int fd = memfd_create("input", MFD_CLOEXEC);
        if (fd < 0 || write(fd, data, size) != (ssize_t)size) abort();
        status = elf_note_find(fd, size, memory, &n.json, err);
        (void)close(fd);
    }
    if (status == WEIR_OK) status = note_parse(&reader, memory, &n, err);
    if (status == WEIR_OK) {
        WEIR_ASSERT(n.id.len > 0 && n.license.len > 0 && n.vendor.len > 0 && n.summary.len > 0);
        WEIR_ASSERT(n.component_count > 0 && n.components[0].name.len > 0);
        WEIR_ASSERT(n.abi_major == WEIR_ABI_MAJOR);
    } else {
        WEIR_ASSERT(status < 0 && error_status(err) == status);
    }
    note_reader_free(&reader);
    error_free(err);
    arena_free(memory);
    return 0;
}
