#include "pending_private.h"

/* Of the run and of the node in a name; longer ones are hashed. */
#define PART_MAX 64u

/* ---- names ---- */

/* A run or node as part of a name: as it is if every file system takes it, else its hash. */
static void name_part(char out[PART_MAX + 1], weir_str part) {
    bool plain = part.len <= PART_MAX;
    for (uint64_t i = 0; plain && i < part.len; i++) {
        char c = part.ptr[i];
        plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                c == '-' || c == '_';
    }
    if (plain) {
        if (part.len > 0) memcpy(out, part.ptr, (size_t)part.len);
        out[part.len] = '\0';
    } else {
        snprintf(out, PART_MAX + 1, "h%016llx",
                 (unsigned long long)pending_hash(FNV_BASIS, part.ptr, (size_t)part.len));
    }
}

void pending_name(char out[PENDING_NAME_MAX], const pending_id *id, const char *target, uint64_t n,
                  const char *suffix) {
    char run[PART_MAX + 1];
    char node[PART_MAX + 1];
    char tag[PENDING_NAME_MAX];
    size_t room;
    size_t tag_len;
    name_part(run, id->run);
    name_part(node, id->node);
    snprintf(tag, sizeof tag, ".%s-%s-%u-%llu-%llu%s", run[0] != '\0' ? run : "local", node,
             id->task, (unsigned long long)id->epoch, (unsigned long long)n, suffix);
    tag_len = strlen(tag);
    room = PENDING_NAME_MAX - 2 - tag_len;
    if (strlen(target) < room) room = strlen(target);
    /* Not in the middle of a character. */
    while (room > 0 && target[room] != '\0' && ((unsigned char)target[room] & 0xc0) == 0x80) room--;
    out[0] = '.';
    memcpy(out + 1, target, room);
    memcpy(out + 1 + room, tag, tag_len + 1);
}

/* Takes "-DIGITS" off the end. */
static bool drop_number(const char *name, size_t *len) {
    size_t at = *len;
    while (at > 0 && name[at - 1] >= '0' && name[at - 1] <= '9') at--;
    if (at == *len || at == 0 || name[at - 1] != '-') return false;
    *len = at - 1;
    return true;
}

static bool has_suffix(const char *name, size_t *len, const char *suffix) {
    size_t n = strlen(suffix);
    if (*len < n + 1 || name[0] != '.' || memcmp(name + *len - n, suffix, n) != 0) return false;
    *len -= n;
    return true;
}

bool pending_is_of(const char *name, size_t len, const pending_id *id, const char *suffix) {
    char run[PART_MAX + 1];
    char node[PART_MAX + 1];
    char tag[2 * PART_MAX + 4];
    size_t n;
    if (id->run.len == 0 || !has_suffix(name, &len, suffix)) return false;
    if (MUTATED(recover_foreign)) return true;
    for (int i = 0; i < 3; i++) { /* the counter, the epoch, the task */
        if (!drop_number(name, &len)) return false;
    }
    name_part(run, id->run);
    name_part(node, id->node);
    n = (size_t)snprintf(tag, sizeof tag, ".%s-%s", run, node);
    return len > n && memcmp(name + len - n, tag, n) == 0;
}

size_t pending_extension(const char *name, size_t len) {
    static const char *const packed[] = {".gz", ".zst", ".sz", ".snappy", ".zz"};
    size_t at = len;
    for (size_t i = len; i > 1 && at == len; i--) {
        if (name[i - 1] == '.') at = i - 1;
    }
    if (at == len) return len;
    for (size_t k = 0; k < sizeof packed / sizeof packed[0]; k++) {
        if (strlen(packed[k]) != len - at || memcmp(name + at, packed[k], len - at) != 0) continue;
        for (size_t i = at; i > 1; i--) {
            if (name[i - 1] == '.') return i - 1;
        }
    }
    return at;
}

/* ---- what a checkpoint remembers ----
 *
 *   kind u8, version u8, length u64, inode u64, tail u64, records u64, first_us u64,
 *   then dir, name, text: each u16 length and bytes. Big-endian; nothing behind them.
 */

#define HEAD_BYTES (2u + 5u * 8u)

static bool is_file_name(weir_str s) {
    if (s.len == 0 || s.len > NAME_MAX) return false;
    if (memchr(s.ptr, '/', (size_t)s.len) != NULL || memchr(s.ptr, '\0', (size_t)s.len) != NULL) {
        return false;
    }
    return !(s.ptr[0] == '.' && (s.len == 1 || (s.len == 2 && s.ptr[1] == '.')));
}

/* Could pending_encode be given this? */
static bool is_valid(const pending_file *f) {
    size_t len = (size_t)f->name.len;
    if (!pending_is_prefix(f->dir)) return false;
    if (f->kind == PENDING_ROOT) return f->name.len == 0 && pending_is_prefix(f->text);
    if (!is_file_name(f->name) || !has_suffix(f->name.ptr, &len, PENDING_SUFFIX)) return false;
    if (f->kind == PENDING_COMMITTABLE) return is_file_name(f->text);
    return f->kind == PENDING_OPEN && f->text.len >= f->dir.len && f->text.len > 0 &&
           f->text.len < PATH_MAX && memchr(f->text.ptr, '\0', (size_t)f->text.len) == NULL &&
           (f->dir.len == 0 || memcmp(f->text.ptr, f->dir.ptr, (size_t)f->dir.len) == 0);
}

size_t pending_encode(const pending_file *file, char *out) {
    const weir_str texts[3] = {file->dir, file->name, file->text};
    char *at = out;
    if (!is_valid(file)) return 0;
    at = pending_put(at, (uint64_t)file->kind, 1);
    at = pending_put(at, PENDING_VERSION, 1);
    at = pending_put(at, file->length, 8);
    at = pending_put(at, file->inode, 8);
    at = pending_put(at, file->tail, 8);
    at = pending_put(at, file->records, 8);
    at = pending_put(at, (uint64_t)file->first_us, 8);
    for (int i = 0; i < 3; i++) {
        at = pending_put(at, texts[i].len, 2);
        if (texts[i].len > 0) memcpy(at, texts[i].ptr, (size_t)texts[i].len);
        at += texts[i].len;
    }
    return (size_t)(at - out);
}

weir_status pending_decode(weir_str bytes, pending_file *out) {
    weir_str *const texts[3] = {&out->dir, &out->name, &out->text};
    const char *p = bytes.ptr;
    uint64_t at = HEAD_BYTES;
    memset(out, 0, sizeof *out);
    if (bytes.len < 2) return WEIR_E_DATA;
    if ((unsigned char)p[1] != PENDING_VERSION) return WEIR_E_INCOMPATIBLE;
    if (bytes.len < HEAD_BYTES) return WEIR_E_DATA;
    if (p[0] != PENDING_COMMITTABLE && p[0] != PENDING_OPEN && p[0] != PENDING_ROOT) {
        return WEIR_E_DATA;
    }
    out->kind = (pending_kind)p[0];
    out->length = pending_get(p + 2, 8);
    out->inode = pending_get(p + 10, 8);
    out->tail = pending_get(p + 18, 8);
    out->records = pending_get(p + 26, 8);
    out->first_us = (int64_t)pending_get(p + 34, 8);
    for (int i = 0; i < 3; i++) {
        if (bytes.len - at < 2) return WEIR_E_DATA;
        texts[i]->len = pending_get(p + at, 2);
        texts[i]->ptr = p + at + 2;
        at += 2;
        if (bytes.len - at < texts[i]->len) return WEIR_E_DATA;
        at += texts[i]->len;
    }
    return at == bytes.len && is_valid(out) ? WEIR_OK : WEIR_E_DATA;
}

int pending_tail(const pending_fs *fs, int fd, uint64_t length, uint64_t *out) {
    char bytes[PENDING_TAIL_BYTES];
    size_t size = length < sizeof bytes ? (size_t)length : sizeof bytes;
    size_t got = 0;
    int code = fs->read(fs->self, fd, bytes, size, length - size, &got);
    if (code != 0) return code;
    *out = pending_hash(FNV_BASIS, bytes, got);
    return got == size ? 0 : EIO;
}
