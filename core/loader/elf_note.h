/*
 * core/loader/elf_note.h - the descriptor of the weir note in an ELF file, found without running
 * it.
 *
 * Private to the loader.
 */
#ifndef WEIR_LOADER_ELF_NOTE_H
#define WEIR_LOADER_ELF_NOTE_H

#include "base/arena.h"
#include "base/error.h"

/*
 * Finds the note in the regular file `fd` of `size` bytes and copies its descriptor into `memory`,
 * with a NUL behind it. Reads headers and notes only, in bounded time, whatever the file claims.
 * Also refuses files that the dynamic linker would stumble over: truncated ones, those of another
 * machine. WEIR_E_DATA: no usable ELF file. WEIR_E_NOT_FOUND: a fine one without our note.
 * WEIR_E_TOO_LARGE, WEIR_E_IO, WEIR_E_NOMEM. [control]
 */
weir_status elf_note_find(int fd, uint64_t size, arena *memory, weir_str *descriptor,
                          weir_error *err);

#endif
