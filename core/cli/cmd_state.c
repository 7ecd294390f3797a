/*
 * weir state: what is in the file of a checkpoint or savepoint. No plugin is needed for it, and
 * nothing is changed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/os.h"
#include "base/str.h"
#include "checkpoint/format.h"
#include "cli/cli.h"

/* Of what a committable says as text: enough for a path or a key. */
#define TEXT_MOST 256u

static const char *kind_name(checkpoint_kind kind) {
    static const char *const names[] = {"?", "periodic", "restore", "savepoint", "final"};
    return kind <= CHECKPOINT_FINAL ? names[kind] : names[0];
}

static const char *node_kind(uint32_t kind) {
    static const char *const names[] = {"?", "source", "sink", "serde", "transform"};
    return kind <= WEIR_KIND_TRANSFORM ? names[kind] : names[0];
}

static const char *split_state(state_split_state state) {
    static const char *const names[] = {"?", "waiting", "assigned", "finished"};
    return state <= STATE_FINISHED ? names[state] : names[0];
}

static const char *scope_name(uint32_t scope) {
    static const char *const names[] = {"?", "split", "item", "broadcast", "key_group"};
    return scope <= STATE_SCOPE_KEY_GROUP ? names[scope] : names[0];
}

static bool printable(weir_str s) {
    if (s.len == 0 || !str_is_utf8(s)) return false;
    for (uint64_t at = 0; at < s.len; at++)
        if ((unsigned char)s.ptr[at] < 0x20 || s.ptr[at] == 0x7f) return false;
    return true;
}

/* A name from a file that anybody may have written goes to a terminal. */
static void add_safe(buf *out, weir_str s) {
    char piece[STR_ESCAPE_MAX];
    for (size_t at = 0, len = 0; at < s.len; buf_append(out, piece, len))
        at = str_escape_next(s, at, piece, &len);
}

static void add_hex(buf *out, weir_str s) {
    for (uint64_t i = 0; i < s.len; i++) buf_printf(out, "%02x", (unsigned char)s.ptr[i]);
}

static void add_time(buf *out, int64_t us) {
    time_t seconds = (time_t)(us / 1000000);
    char text[40];
    struct tm tm;
    if (us < 0 || gmtime_r(&seconds, &tm) == NULL ||
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm) == 0)
        buf_append_z(out, "at an unknown time");
    else
        buf_printf(out, "%s.%03dZ", text, (int)(us / 1000 % 1000));
}

static void add_count(buf *out, uint64_t n, const char *one, const char *many) {
    buf_printf(out, "%" PRIu64 " %s", n, n == 1 ? one : many);
}

/* ---- for people ---- */

static void show_split(buf *out, const state_split *s) {
    buf_append_z(out, "    ");
    add_safe(out, s->id);
    buf_printf(out, "  %s", split_state(s->state));
    if (s->position.len == 0) {
        buf_append_z(out, "  no position yet");
    } else {
        buf_append_z(out, "  position ");
        add_hex(out, s->position);
        if (printable(s->position)) {
            buf_append_z(out, " \"");
            add_safe(out, s->position);
            buf_append_char(out, '"');
        }
    }
    if (s->private_bytes.len > 0) {
        buf_append_z(out, "  ");
        add_count(out, s->private_bytes.len, "private byte", "private bytes");
    }
    for (uint32_t i = 0; i < s->parent_count; i++) {
        buf_append_z(out, i == 0 ? "  after " : ", ");
        add_safe(out, s->parents[i]);
    }
    buf_append_char(out, '\n');
}

static void show_node(buf *out, const state_node *n) {
    buf_append_z(out, "\nnode ");
    add_safe(out, n->name);
    buf_printf(out, ": %s ", node_kind(n->kind));
    add_safe(out, n->type);
    buf_append_z(out, ", ");
    add_safe(out, n->plugin_id);
    buf_append_char(out, ' ');
    add_safe(out, n->plugin_version);
    buf_printf(out, ", parallelism %u\n", n->parallelism);
    if (n->split_count > 0) {
        buf_append_z(out, "  ");
        add_count(out, n->split_count, "split", "splits");
        buf_printf(out, ", version %u\n", n->split_version);
    }
    for (uint32_t i = 0; i < n->split_count; i++) show_split(out, &n->splits[i]);
    if (n->blob_count > 0) {
        buf_append_z(out, "  ");
        add_count(out, n->blob_count, "piece of state\n", "pieces of state\n");
    }
    for (uint32_t i = 0; i < n->blob_count; i++) {
        const state_blob *b = &n->blobs[i];
        buf_append_z(out, "    ");
        add_count(out, b->bytes.len, "byte", "bytes");
        buf_printf(out, "  scope %s  version %u  instance %u", scope_name(b->scope), b->version,
                   b->instance);
        if (b->split.len > 0) {
            buf_append_z(out, b->scope == STATE_SCOPE_KEY_GROUP ? "  group " : "  split ");
            add_safe(out, b->split);
        }
        buf_append_char(out, '\n');
    }
    if (n->committable_count > 0) {
        buf_append_z(out, "  ");
        add_count(out, n->committable_count, "committable", "committables");
        buf_append_z(out, ": prepared, not known to be committed\n");
    }
    for (uint32_t i = 0; i < n->committable_count; i++) {
        const state_committable *c = &n->committables[i];
        buf_printf(out, "    epoch %" PRIu64 "  instance %u  version %u  ", c->epoch, c->instance,
                   c->version);
        add_count(out, c->records, "record", "records");
        buf_append_z(out, "  ");
        add_count(out, c->bytes.len, "byte", "bytes");
        if (printable(c->bytes) && c->bytes.len <= TEXT_MOST) {
            buf_append_z(out, "  \"");
            add_safe(out, c->bytes);
            buf_append_char(out, '"');
        }
        buf_append_char(out, '\n');
    }
}

static void show(buf *out, const checkpoint *c, const char *path, uint64_t bytes) {
    if (c->name.len > 0) {
        buf_append_z(out, "savepoint ");
        add_safe(out, c->name);
        buf_printf(out, ", epoch %" PRIu64 " (%s)", c->epoch, kind_name(c->kind));
    } else {
        buf_printf(out, "checkpoint %" PRIu64 " (%s)", c->epoch, kind_name(c->kind));
    }
    buf_append_z(out, " of pipeline ");
    add_safe(out, c->pipeline);
    buf_append_z(out, "\n  file             ");
    add_safe(out, str_of(path));
    buf_printf(out, ", %" PRIu64 " bytes, format %u\n  created          ", bytes,
               CHECKPOINT_FORMAT);
    add_time(out, c->created_us);
    buf_append_z(out, " by weir ");
    add_safe(out, c->weir_version);
    buf_append_z(out, "\n  instance         ");
    add_safe(out, c->instance_id);
    buf_append_z(out, "\n  restored from    ");
    if (c->parent > 0)
        buf_printf(out, "epoch %" PRIu64, c->parent);
    else
        buf_append_z(out, "nothing: a fresh start");
    buf_printf(out, "\n  max parallelism  %u\n", c->max_parallelism);
    for (uint32_t i = 0; i < c->node_count; i++) show_node(out, &c->nodes[i]);
}

/* ---- for programs ---- */

static void json_text(buf *out, const char *key, weir_str s) {
    buf_printf(out, "\"%s\":", key);
    buf_append_json(out, s);
}

static void json_split(buf *out, const state_split *s) {
    buf_append_char(out, '{');
    json_text(out, "id", s->id);
    buf_printf(out, ",\"state\":\"%s\",\"position_hex\":\"", split_state(s->state));
    add_hex(out, s->position);
    buf_append_char(out, '"');
    if (printable(s->position)) {
        buf_append_char(out, ',');
        json_text(out, "position", s->position);
    }
    buf_printf(out, ",\"private_bytes\":%" PRIu64 ",\"parents\":[", s->private_bytes.len);
    for (uint32_t i = 0; i < s->parent_count; i++) {
        if (i > 0) buf_append_char(out, ',');
        buf_append_json(out, s->parents[i]);
    }
    buf_append_z(out, "]}");
}

static void json_node(buf *out, const state_node *n) {
    buf_append_char(out, '{');
    json_text(out, "name", n->name);
    buf_printf(out, ",\"kind\":\"%s\",", node_kind(n->kind));
    json_text(out, "type", n->type);
    buf_append_char(out, ',');
    json_text(out, "plugin_id", n->plugin_id);
    buf_append_char(out, ',');
    json_text(out, "plugin_version", n->plugin_version);
    buf_printf(out, ",\"parallelism\":%u,\"split_version\":%u,\"splits\":[", n->parallelism,
               n->split_version);
    for (uint32_t i = 0; i < n->split_count; i++) {
        if (i > 0) buf_append_char(out, ',');
        json_split(out, &n->splits[i]);
    }
    buf_append_z(out, "],\"blobs\":[");
    for (uint32_t i = 0; i < n->blob_count; i++) {
        const state_blob *b = &n->blobs[i];
        buf_printf(out, "%s{\"bytes\":%" PRIu64 ",\"scope\":\"%s\",\"version\":%u,\"instance\":%u",
                   i > 0 ? "," : "", b->bytes.len, scope_name(b->scope), b->version, b->instance);
        if (b->scope == WEIR_SCOPE_SPLIT || b->scope == STATE_SCOPE_KEY_GROUP) {
            buf_append_char(out, ',');
            json_text(out, b->scope == WEIR_SCOPE_SPLIT ? "split" : "group", b->split);
        }
        buf_append_char(out, '}');
    }
    buf_append_z(out, "],\"committables\":[");
    for (uint32_t i = 0; i < n->committable_count; i++) {
        const state_committable *c = &n->committables[i];
        buf_printf(out,
                   "%s{\"epoch\":%" PRIu64 ",\"instance\":%u,\"version\":%u,\"records\":%" PRIu64
                   ",\"bytes\":%" PRIu64,
                   i > 0 ? "," : "", c->epoch, c->instance, c->version, c->records, c->bytes.len);
        if (printable(c->bytes)) {
            buf_append_char(out, ',');
            json_text(out, "text", c->bytes);
        }
        buf_append_char(out, '}');
    }
    buf_append_z(out, "]}");
}

static void show_json(buf *out, const checkpoint *c, const char *path, uint64_t bytes) {
    buf_append_char(out, '{');
    json_text(out, "path", str_of(path));
    buf_printf(out,
               ",\"bytes\":%" PRIu64 ",\"format\":%u,\"kind\":\"%s\",\"epoch\":%" PRIu64
               ",\"parent\":%" PRIu64 ",\"created\":\"",
               bytes, CHECKPOINT_FORMAT, kind_name(c->kind), c->epoch, c->parent);
    add_time(out, c->created_us);
    buf_append_z(out, "\",");
    json_text(out, "name", c->name);
    buf_append_char(out, ',');
    json_text(out, "pipeline", c->pipeline);
    buf_append_char(out, ',');
    json_text(out, "instance_id", c->instance_id);
    buf_append_char(out, ',');
    json_text(out, "weir_version", c->weir_version);
    buf_printf(out, ",\"max_parallelism\":%u,\"nodes\":[", c->max_parallelism);
    for (uint32_t i = 0; i < c->node_count; i++) {
        if (i > 0) buf_append_char(out, ',');
        json_node(out, &c->nodes[i]);
    }
    buf_append_z(out, "]}\n");
}

/* ---- the command ---- */

int state_show_file(const char *command_name, const char *path, bool json) {
    buf bytes, out;
    weir_error *err = error_new();
    buf_init(&bytes, CHECKPOINT_BYTES_MAX);
    buf_init(&out, SIZE_MAX / 2);
    checkpoint *c = NULL;
    weir_status status = os_read_file(path, CHECKPOINT_BYTES_MAX, &bytes, err);
    if (status == WEIR_OK) {
        c = checkpoint_decode(buf_str(&bytes), err);
        if (c == NULL) error_prefix(err, "%s", path);
    }
    if (c != NULL) {
        if (json)
            show_json(&out, c, path, bytes.len);
        else
            show(&out, c, path, bytes.len);
    }
    bool ok = c != NULL && buf_ok(&out);
    if (ok) {
        ok = fwrite(out.data, 1, out.len, stdout) == out.len && fflush(stdout) == 0;
        if (!ok) (void)error_set(err, WEIR_E_IO, 0, "cannot write to standard output");
    } else if (c != NULL) {
        (void)error_set(err, WEIR_E_NOMEM, 0, "no memory to show %s", path);
    }
    if (!ok) {
        buf_free(&out);
        error_format(err, &out);
        fprintf(stderr, "weir %s: %.*s\n", command_name, STR_FMT(buf_str(&out)));
    }
    checkpoint_free(c);
    buf_free(&bytes);
    buf_free(&out);
    error_free(err);
    return ok ? EXIT_OK : EXIT_FAILED;
}

static int state(int argc, char **argv) {
    arg args[] = {{.name = "--json", .kind = ARG_FLAG}};
    const char *words[ARGS_MAX];
    size_t count;
    if (!args_parse("state", argc, argv, args, 1, words, &count)) return EXIT_USAGE;
    if (count != 2 || strcmp(words[0], "show") != 0)
        return usage_error("state", "say `show` and the file of a checkpoint or savepoint");
    return state_show_file("state", words[1], args[0].set);
}

const command command_state = {
    "state", "show what is in a checkpoint's file",
    "usage: weir state show FILE [--json]\n"
    "\n"
    "Prints a checkpoint or savepoint: its epoch and pipeline, each node with its plugin, splits\n"
    "with state and resume position (in hex, and as text where that is possible), pieces of\n"
    "state by size, scope and version, and what was prepared but is not known to be committed.\n"
    "No plugin is loaded, nothing is changed. A damaged file is an error that says where.\n"
    "\n"
    "example:\n"
    "  weir state show /var/lib/weir/clicks/checkpoints/00000000000000000042.weir\n"
    "\n"
    "exit status: 0 ok, 1 the file cannot be read or is damaged, 2 wrong usage\n",
    state};
