/*
 * Two ways lead to a note: the program headers (PT_NOTE), which every loadable file has, and the
 * section headers (SHT_NOTE), which `strip` may take away but odd linkers keep when they forget the
 * segment. Segments are looked at first, since their table stands beside the file header: one read
 * of the first page usually finds everything.
 *
 *   +--------+-----------------+--------------------+-----   -----+------------------+
 *   | header | program headers | notes ...          |     ...     | section headers  |
 *   +--------+-----------------+--------------------+-----   -----+------------------+
 *
 *   a note:  namesz | descsz | type | name, padded | descriptor, padded
 *
 * Nothing the file says is believed. Every range is checked against the file's real size before it
 * is read, tables have a most number of entries, and all notes of a file together are counted, so
 * that a thousand segments over one run of notes cost no more than one.
 */
#include "loader/elf_note.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/os.h"
#include "weir/plugin.h"

#define WINDOW_BYTES 4096u
/* Notes looked at in one file: real ones have three to five. */
#define NOTES_MAX 1024u

#if defined(__x86_64__)
#define HOST_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define HOST_MACHINE EM_AARCH64
#else
#error "tell the note reader the ELF machine of this processor"
#endif

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define HOST_ORDER ELFDATA2LSB
#else
#define HOST_ORDER ELFDATA2MSB
#endif

typedef struct reader {
    int fd;
    uint64_t size;
    weir_error *err;
    uint32_t notes;       /* looked at so far */
    bool found;           /* our note */
    uint64_t desc_offset; /* of its descriptor in the file */
    uint32_t desc_size;
    uint64_t window_start; /* the bytes of the file that `window` holds */
    size_t window_len;
    unsigned char window[WINDOW_BYTES];
} reader;

static weir_status check_header(reader *r, Elf64_Ehdr *header);
static weir_status walk_segments(reader *r, const Elf64_Ehdr *header);
static weir_status walk_sections(reader *r, const Elf64_Ehdr *header);
static weir_status walk_notes(reader *r, uint64_t offset, uint64_t size, uint64_t align);
static weir_status read_at(reader *r, uint64_t offset, void *to, size_t len);
static bool inside(const reader *r, uint64_t offset, uint64_t len);

weir_status elf_note_find(int fd, uint64_t size, arena *memory, weir_str *descriptor,
                          weir_error *err) {
    reader r = {.fd = fd, .size = size, .err = err};
    Elf64_Ehdr header = {0};
    weir_status status = check_header(&r, &header);
    if (status == WEIR_OK) status = walk_segments(&r, &header);
    if (status == WEIR_OK) status = walk_sections(&r, &header);
    if (status != WEIR_OK) return status;
    if (!r.found) {
        return error_set(err, WEIR_E_NOT_FOUND, 0,
                         "carries no weir note, so it is not a weir plugin");
    }
    char *text = arena_alloc(memory, (size_t)r.desc_size + 1);
    if (text == NULL) return error_set(err, WEIR_E_NOMEM, 0, "no memory for the note");
    status = read_at(&r, r.desc_offset, text, r.desc_size);
    if (status != WEIR_OK) return status;
    text[r.desc_size] = '\0';
    *descriptor = (weir_str){text, r.desc_size};
    return WEIR_OK;
}

static weir_status check_header(reader *r, Elf64_Ehdr *header) {
    weir_error *err = r->err;
    if (r->size < sizeof *header) {
        return error_set(err, WEIR_E_DATA, 0,
                         "not an ELF file: %" PRIu64 " bytes, the header alone takes %zu", r->size,
                         sizeof *header);
    }
    weir_status status = read_at(r, 0, header, sizeof *header);
    if (status != WEIR_OK) return status;
    if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) {
        return error_set(err, WEIR_E_DATA, 0, "not an ELF file: its first bytes are no ELF magic");
    }
    if (header->e_ident[EI_CLASS] != ELFCLASS64) {
        return error_set(err, WEIR_E_DATA, 0, "not a 64-bit ELF file (class %u)",
                         header->e_ident[EI_CLASS]);
    }
    if (header->e_ident[EI_DATA] != HOST_ORDER) {
        return error_set(err, WEIR_E_DATA, 0, "ELF file of the other byte order");
    }
    if (header->e_ident[EI_VERSION] != EV_CURRENT || header->e_version != EV_CURRENT) {
        return error_set(err, WEIR_E_DATA, 0, "ELF version %u, expected %u",
                         (unsigned)header->e_version, (unsigned)EV_CURRENT);
    }
    if (header->e_type != ET_DYN) {
        return error_set(err, WEIR_E_DATA, 0, "not a shared object (ELF type %u, expected %u)",
                         header->e_type, (unsigned)ET_DYN);
    }
    if (header->e_machine != HOST_MACHINE) {
        return error_set(err, WEIR_E_INCOMPATIBLE, 0,
                         "built for another processor (ELF machine %u, this one is %u)",
                         header->e_machine, (unsigned)HOST_MACHINE);
    }
    return WEIR_OK;
}

static weir_status walk_segments(reader *r, const Elf64_Ehdr *header) {
    weir_error *err = r->err;
    uint64_t count = header->e_phnum;
    if (count == 0) return error_set(err, WEIR_E_DATA, 0, "ELF file without program headers");
    if (header->e_phentsize != sizeof(Elf64_Phdr)) {
        return error_set(err, WEIR_E_DATA, 0, "program headers of %u bytes, expected %zu",
                         header->e_phentsize, sizeof(Elf64_Phdr));
    }
    if (count > LIMIT_ELF_SECTIONS) {
        return error_set(err, WEIR_E_DATA, 0, "%" PRIu64 " program headers, at most %u are read",
                         count, LIMIT_ELF_SECTIONS);
    }
    if (!inside(r, header->e_phoff, count * sizeof(Elf64_Phdr))) {
        return error_set(err, WEIR_E_DATA, 0,
                         "truncated: program headers at %" PRIu64 ", the file has %" PRIu64
                         " bytes",
                         (uint64_t)header->e_phoff, r->size);
    }
    for (uint64_t i = 0; i < count; i++) {
        Elf64_Phdr segment = {0};
        weir_status status =
            read_at(r, header->e_phoff + i * sizeof segment, &segment, sizeof segment);
        if (status != WEIR_OK) return status;
        if (segment.p_type == PT_NULL || segment.p_filesz == 0) continue;
        /* The dynamic linker maps what a segment claims; touching a page beyond the end of the
         * file is a SIGBUS in our process, so such a file must not get that far. */
        if (!inside(r, segment.p_offset, segment.p_filesz)) {
            return error_set(err, WEIR_E_DATA, 0,
                             "truncated: segment %" PRIu64 " takes %" PRIu64 " bytes at %" PRIu64
                             ", the file has %" PRIu64 " bytes",
                             i, (uint64_t)segment.p_filesz, (uint64_t)segment.p_offset, r->size);
        }
        if (segment.p_type != PT_NOTE) continue;
        status = walk_notes(r, segment.p_offset, segment.p_filesz, segment.p_align);
        if (status != WEIR_OK) return status;
    }
    return WEIR_OK;
}

static weir_status walk_sections(reader *r, const Elf64_Ehdr *header) {
    weir_error *err = r->err;
    uint64_t count = header->e_shnum;
    if (header->e_shoff == 0) return WEIR_OK; /* stripped of them */
    if (header->e_shentsize != sizeof(Elf64_Shdr)) {
        return error_set(err, WEIR_E_DATA, 0, "section headers of %u bytes, expected %zu",
                         header->e_shentsize, sizeof(Elf64_Shdr));
    }
    /* The table is the last thing in the file that linkers write. It is checked even when the note
     * is found already: a copy that stopped half-way is seen here at the latest. */
    if (!inside(r, header->e_shoff, (count > 0 ? count : 1) * sizeof(Elf64_Shdr))) {
        return error_set(err, WEIR_E_DATA, 0,
                         "truncated: section headers at %" PRIu64 ", the file has %" PRIu64
                         " bytes",
                         (uint64_t)header->e_shoff, r->size);
    }
    if (count > LIMIT_ELF_SECTIONS) {
        return error_set(err, WEIR_E_DATA, 0, "%" PRIu64 " sections, at most %u are read", count,
                         LIMIT_ELF_SECTIONS);
    }
    if (r->found) return WEIR_OK;
    for (uint64_t i = 0; i < count; i++) {
        Elf64_Shdr section = {0};
        weir_status status =
            read_at(r, header->e_shoff + i * sizeof section, &section, sizeof section);
        if (status != WEIR_OK) return status;
        if (section.sh_type != SHT_NOTE || section.sh_size == 0) continue;
        if (!inside(r, section.sh_offset, section.sh_size)) {
            return error_set(err, WEIR_E_DATA, 0,
                             "truncated: note section %" PRIu64 " takes %" PRIu64
                             " bytes at %" PRIu64 ", the file has %" PRIu64 " bytes",
                             i, (uint64_t)section.sh_size, (uint64_t)section.sh_offset, r->size);
        }
        status = walk_notes(r, section.sh_offset, section.sh_size, section.sh_addralign);
        if (status != WEIR_OK) return status;
    }
    return WEIR_OK;
}

/* The notes in `size` bytes at `offset`, a range inside the file. */
static weir_status walk_notes(reader *r, uint64_t offset, uint64_t size, uint64_t align) {
    weir_error *err = r->err;
    /* The standard says 8 for 64-bit files, practice says 4, and GNU properties really use 8. */
    uint64_t pad = align == 8 ? 7 : 3;
    uint64_t at = 0;
    while (size - at >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr note = {0};
        weir_status status = read_at(r, offset + at, &note, sizeof note);
        if (status != WEIR_OK) return status;
        if (++r->notes > NOTES_MAX) {
            return error_set(err, WEIR_E_DATA, 0, "more than %u notes", NOTES_MAX);
        }
        /* Sizes are 32 bits, so these sums cannot overflow 64. */
        uint64_t desc_at = (at + sizeof note + note.n_namesz + pad) & ~pad;
        uint64_t end = desc_at + note.n_descsz;
        if (end > size) {
            return error_set(err, WEIR_E_DATA, 0,
                             "a note lies about its size: name of %u and descriptor of %u bytes at "
                             "%" PRIu64 ", only %" PRIu64 " bytes of notes are left",
                             note.n_namesz, note.n_descsz, offset + at, size - at);
        }
        char name[sizeof WEIR_NOTE_NAME];
        bool ours = false;
        if (note.n_type == WEIR_NOTE_TYPE && note.n_namesz == sizeof name) {
            status = read_at(r, offset + at + sizeof note, name, sizeof name);
            if (status != WEIR_OK) return status;
            ours = memcmp(name, WEIR_NOTE_NAME, sizeof name) == 0;
        }
        if (ours) {
            if (note.n_descsz > WEIR_NOTE_BYTES_MAX) {
                return error_set(err, WEIR_E_TOO_LARGE, 0,
                                 "the weir note takes %u bytes, at most %u are read", note.n_descsz,
                                 WEIR_NOTE_BYTES_MAX);
            }
            if (r->found && r->desc_offset != offset + desc_at) {
                return error_set(err, WEIR_E_DATA, 0,
                                 "carries two weir notes: which one describes it is unknown");
            }
            r->found = true;
            r->desc_offset = offset + desc_at;
            r->desc_size = note.n_descsz;
        }
        at = (end + pad) & ~pad;
        if (at > size) break; /* the last descriptor need not be padded */
    }
    return WEIR_OK;
}

static bool inside(const reader *r, uint64_t offset, uint64_t len) {
    return offset <= r->size && len <= r->size - offset;
}

/* Exactly `len` bytes at `offset`, which the caller has checked to be inside the file. */
static weir_status read_at(reader *r, uint64_t offset, void *to, size_t len) {
    char why[128];
    if (len <= WINDOW_BYTES) {
        bool held = offset >= r->window_start && offset - r->window_start <= r->window_len &&
                    len <= r->window_len - (offset - r->window_start);
        if (!held) {
            r->window_start = offset;
            r->window_len = 0;
            ssize_t got;
            do {
                got = pread(r->fd, r->window, WINDOW_BYTES, (off_t)offset);
            } while (got < 0 && errno == EINTR);
            if (got < 0) {
                return error_set(r->err, WEIR_E_IO, 0, "cannot be read at %" PRIu64 ": %s", offset,
                                 os_strerror(errno, why, sizeof why));
            }
            r->window_len = (size_t)got;
            held = len <= r->window_len;
        }
        if (held) {
            memcpy(to, r->window + (offset - r->window_start), len);
            return WEIR_OK;
        }
    }
    char *out = to;
    while (len > 0) {
        ssize_t got = pread(r->fd, out, len, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            return error_set(r->err, WEIR_E_IO, 0, "cannot be read at %" PRIu64 ": %s", offset,
                             os_strerror(errno, why, sizeof why));
        }
        if (got == 0) {
            return error_set(r->err, WEIR_E_DATA, 0, "became shorter while it was read");
        }
        out += got;
        offset += (uint64_t)got;
        len -= (size_t)got;
    }
    return WEIR_OK;
}
