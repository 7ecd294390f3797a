/* XML out of names and texts. The reader is in xml.c. */
#include <string.h>

#include "weir/json.h" /* weir_utf8_span, weir_json_write_u64 */
#include "xml.h"

static void put(weir_xml_writer *w, const char *bytes, uint64_t len);
static void put_z(weir_xml_writer *w, const char *z);
static const char *escape(uint8_t c);

void weir_xml_writer_init(weir_xml_writer *w, char *out, uint64_t capacity) {
    *w = (weir_xml_writer){.out = out, .capacity = capacity};
}

bool weir_xml_writer_ok(const weir_xml_writer *w) {
    return w->len <= w->capacity;
}

void weir_xml_put_declaration(weir_xml_writer *w) {
    put_z(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
}

void weir_xml_put_open(weir_xml_writer *w, const char *name) {
    put_z(w, "<");
    put_z(w, name);
    put_z(w, ">");
}

void weir_xml_put_open_ns(weir_xml_writer *w, const char *name, const char *ns) {
    put_z(w, "<");
    put_z(w, name);
    put_z(w, " xmlns=\"");
    weir_xml_put_text(w, (weir_str){ns, strlen(ns)});
    put_z(w, "\">");
}

void weir_xml_put_close(weir_xml_writer *w, const char *name) {
    put_z(w, "</");
    put_z(w, name);
    put_z(w, ">");
}

/* Runs of plain bytes go out as they are; `plain` is where the run began. */
void weir_xml_put_text(weir_xml_writer *w, weir_str s) {
    uint64_t plain = 0, at = 0, valid = weir_utf8_span(s);
    while (at < s.len) {
        uint8_t c = (uint8_t)s.ptr[at];
        uint64_t taken = 1;
        const char *instead = NULL;
        if (at >= valid) { /* one byte of what is no UTF-8; then it may go on well */
            instead = "\xef\xbf\xbd";
            valid = at + 1 + weir_utf8_span((weir_str){s.ptr + at + 1, s.len - at - 1});
        } else if (c == 0xef && (uint8_t)s.ptr[at + 1] == 0xbf && (uint8_t)s.ptr[at + 2] >= 0xbe) {
            instead = "\xef\xbf\xbd";
            taken = 3;
        } else {
            instead = escape(c);
        }
        if (instead) {
            put(w, s.ptr + plain, at - plain);
            put_z(w, instead);
            plain = at + taken;
        }
        at += taken;
    }
    if (s.len > 0) put(w, s.ptr + plain, s.len - plain);
}

void weir_xml_put_element(weir_xml_writer *w, const char *name, weir_str text) {
    weir_xml_put_open(w, name);
    weir_xml_put_text(w, text);
    weir_xml_put_close(w, name);
}

void weir_xml_put_element_z(weir_xml_writer *w, const char *name, const char *text) {
    weir_xml_put_element(w, name, (weir_str){text, strlen(text)});
}

void weir_xml_put_element_u64(weir_xml_writer *w, const char *name, uint64_t v) {
    char digits[20];
    weir_xml_put_element(w, name, (weir_str){digits, weir_json_write_u64(v, digits)});
}

void weir_xml_put_raw(weir_xml_writer *w, weir_str xml) {
    put(w, xml.ptr, xml.len);
}

static void put(weir_xml_writer *w, const char *bytes, uint64_t len) {
    if (len > 0 && w->len <= w->capacity && len <= w->capacity - w->len)
        memcpy(w->out + w->len, bytes, (size_t)len);
    w->len += len;
}

static void put_z(weir_xml_writer *w, const char *z) {
    put(w, z, strlen(z));
}

/* What stands for `c`, NULL if it stands for itself. */
static const char *escape(uint8_t c) {
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&apos;";
    case '\r':
        return "&#13;";
    case '\t':
    case '\n':
        return NULL;
    default:
        return c < 0x20 ? "\xef\xbf\xbd" : NULL;
    }
}
