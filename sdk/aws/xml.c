/* The XML reader. The writer is in xml_write.c. */
#include "xml.h"

#include <string.h>

#include "weir/json.h" /* weir_utf8_span */

static uint32_t refuse(weir_xml_reader *r, const char *at, const char *text);
static bool fail(weir_xml_reader *r, const char *at, const char *text);
static uint32_t prologue(weir_xml_reader *r);
static bool declaration(weir_xml_reader *r);
static uint32_t content(weir_xml_reader *r);
static uint32_t open_tag(weir_xml_reader *r);
static bool attributes(weir_xml_reader *r);
static uint32_t close_tag(weir_xml_reader *r);
static uint32_t text_run(weir_xml_reader *r);
static uint32_t cdata(weir_xml_reader *r);
static bool comment(weir_xml_reader *r);
static bool instruction(weir_xml_reader *r);
static bool characters(weir_xml_reader *r, const char *from, const char *to);
static bool reference(weir_xml_reader *r, const char **at, const char *end);
static uint64_t take_reference(const char *at, const char *end, uint32_t *code);
static bool quoted(weir_xml_reader *r, weir_str *out);
static bool name_at(weir_xml_reader *r, weir_str *out);
static bool space(weir_xml_reader *r);
static bool ahead(const weir_xml_reader *r, const char *word);
static const char *find(const weir_xml_reader *r, const char *from, const char *word);
static weir_str without_prefix(weir_str name);
static bool is_space(char c);

/* More attributes than any answer has; their names are compared pair by pair. */
#define ATTRIBUTES_MAX 32u

void weir_xml_begin(weir_xml_reader *r, weir_str document) {
    memset(r, 0, sizeof *r);
    r->begin = r->at = document.len ? document.ptr : "";
    r->end = r->begin + document.len;
    r->event = WEIR_XML_TEXT; /* not an end: nothing has been read */
    if (document.len > WEIR_XML_SIZE_MAX) {
        refuse(r, r->begin, "the document is longer than 64 MiB");
        return;
    }
    if (ahead(r, "\xef\xbb\xbf")) r->at += 3;
    while (space(r)) {}
    if (ahead(r, "<?xml") && r->end - r->at > 5 && is_space(r->at[5])) declaration(r);
}

uint32_t weir_xml_next(weir_xml_reader *r) {
    if (r->event == WEIR_XML_FAULT || r->event == WEIR_XML_END) return r->event;
    if (r->empty) { /* the second half of <name/> */
        r->empty = false;
        r->depth--;
        return r->event = WEIR_XML_CLOSE;
    }
    r->text = (weir_str){NULL, 0};
    r->escaped = r->blank = false;
    return r->event = r->depth > 0 ? content(r) : prologue(r);
}

uint32_t weir_xml_next_element(weir_xml_reader *r) {
    while (weir_xml_next(r) == WEIR_XML_TEXT) {}
    return r->event;
}

bool weir_xml_is(const weir_xml_reader *r, const char *name) {
    return (r->event == WEIR_XML_OPEN || r->event == WEIR_XML_CLOSE) &&
           r->name.len == strlen(name) && memcmp(r->name.ptr, name, (size_t)r->name.len) == 0;
}

weir_status weir_xml_text(weir_xml_reader *r, char *room, uint64_t room_len, weir_str *out) {
    uint64_t used = 0;
    bool in_room = false;
    *out = (weir_str){"", 0};
    for (;;) {
        uint32_t event = weir_xml_next(r);
        if (event == WEIR_XML_CLOSE) return WEIR_OK;
        if (event == WEIR_XML_OPEN)
            refuse(r, r->name.ptr, "expected text, found an element inside it");
        if (event != WEIR_XML_TEXT) return WEIR_E_DATA;
        if (r->text.len == 0) continue;
        if (out->len == 0 && !r->escaped) { /* the usual case: one run, as it stands */
            *out = r->text;
            continue;
        }
        uint64_t need = r->text.len + (in_room ? used : out->len);
        if (need > room_len) return WEIR_E_TOO_LARGE;
        if (!in_room) {
            if (out->len > 0) memcpy(room, out->ptr, (size_t)out->len);
            used = out->len;
            in_room = true;
        }
        if (r->escaped) {
            used += weir_xml_unescape(r->text, room + used);
        } else {
            memcpy(room + used, r->text.ptr, (size_t)r->text.len);
            used += r->text.len;
        }
        *out = (weir_str){room, used};
    }
}

bool weir_xml_skip(weir_xml_reader *r) {
    uint32_t around = r->depth;
    for (;;) {
        uint32_t event = weir_xml_next_element(r);
        if (event == WEIR_XML_CLOSE && r->depth < around) return true;
        if (event == WEIR_XML_FAULT || event == WEIR_XML_END) return false;
    }
}

uint64_t weir_xml_unescape(weir_str text, char *out) {
    const char *at = text.ptr, *end = at + text.len;
    char *begin = out;
    while (at < end) {
        uint32_t code;
        uint64_t taken;
        if (*at == '\r') {
            *out++ = '\n';
            at += at + 1 < end && at[1] == '\n' ? 2 : 1;
        } else if (*at != '&' || (taken = take_reference(at, end, &code)) == 0) {
            *out++ = *at++;
        } else {
            /* Never longer than the reference: two bytes take &#x80; at least, four &#65536;. */
            if (code < 0x80) {
                *out++ = (char)code;
            } else if (code < 0x800) {
                *out++ = (char)(0xc0 | code >> 6);
                *out++ = (char)(0x80 | (code & 0x3f));
            } else if (code < 0x10000) {
                *out++ = (char)(0xe0 | code >> 12);
                *out++ = (char)(0x80 | (code >> 6 & 0x3f));
                *out++ = (char)(0x80 | (code & 0x3f));
            } else {
                *out++ = (char)(0xf0 | code >> 18);
                *out++ = (char)(0x80 | (code >> 12 & 0x3f));
                *out++ = (char)(0x80 | (code >> 6 & 0x3f));
                *out++ = (char)(0x80 | (code & 0x3f));
            }
            at += taken;
        }
    }
    return (uint64_t)(out - begin);
}

/* Outside the root element: white space, comments and instructions, and the root once. */
static uint32_t prologue(weir_xml_reader *r) {
    for (;;) {
        while (space(r)) {}
        if (r->at == r->end)
            return r->rooted ? WEIR_XML_END
                             : refuse(r, r->at, "expected an element, found the end");
        if (ahead(r, "<!--")) {
            if (!comment(r)) return WEIR_XML_FAULT;
        } else if (ahead(r, "<!DOCTYPE")) {
            return refuse(r, r->at, "a document type declaration is not accepted");
        } else if (ahead(r, "<?")) {
            if (!instruction(r)) return WEIR_XML_FAULT;
        } else if (r->rooted) {
            return refuse(r, r->at, "expected the end, found more behind the root element");
        } else if (*r->at != '<') {
            return refuse(r, r->at, "expected an element, found text");
        } else {
            r->rooted = true;
            return open_tag(r);
        }
    }
}

/* <?xml version="1.x" encoding="UTF-8" standalone="yes"?>, the last two optional. */
static bool declaration(weir_xml_reader *r) {
    static const char *const parts[] = {"version", "encoding", "standalone"};
    static const char malformed[] = "expected an XML declaration of version 1.0 in UTF-8";
    const char *begin = r->at;
    r->at += 5;
    for (uint32_t next = 0;;) {
        bool spaced = space(r);
        if (ahead(r, "?>") && next > 0) break;
        weir_str name, value;
        if (!spaced || !name_at(r, &name)) return fail(r, begin, malformed);
        while (next < 3 && (name.len != strlen(parts[next]) ||
                            memcmp(name.ptr, parts[next], (size_t)name.len) != 0)) {
            /* The version must come, the encoding may be left out. */
            if (next == 0) return fail(r, begin, malformed);
            next++;
        }
        if (next == 3 || !quoted(r, &value)) return fail(r, begin, malformed);
        bool good = next == 0   ? value.len == 3 && memcmp(value.ptr, "1.0", 3) == 0
                    : next == 1 ? value.len == 5 && (value.ptr[0] | 32) == 'u' &&
                                      (value.ptr[1] | 32) == 't' && (value.ptr[2] | 32) == 'f' &&
                                      memcmp(value.ptr + 3, "-8", 2) == 0
                                : (value.len == 3 && memcmp(value.ptr, "yes", 3) == 0) ||
                                      (value.len == 2 && memcmp(value.ptr, "no", 2) == 0);
        if (!good) return fail(r, begin, malformed);
        next++;
    }
    r->at += 2;
    return true;
}

/* Inside an element. */
static uint32_t content(weir_xml_reader *r) {
    if (r->section) return cdata(r);
    for (;;) {
        if (r->at == r->end) return refuse(r, r->at, "expected an end tag, found the end");
        if (*r->at != '<') return text_run(r);
        if (ahead(r, "</")) return close_tag(r);
        if (ahead(r, "<![CDATA[")) return cdata(r);
        if (ahead(r, "<!--")) {
            if (!comment(r)) return WEIR_XML_FAULT;
        } else if (ahead(r, "<?")) {
            if (!instruction(r)) return WEIR_XML_FAULT;
        } else {
            return open_tag(r);
        }
    }
}

static uint32_t open_tag(weir_xml_reader *r) {
    const char *begin = r->at++;
    weir_str name;
    if (!name_at(r, &name)) return refuse(r, begin, "expected an element's name of ASCII letters");
    if (r->depth == WEIR_XML_DEPTH_MAX) return refuse(r, begin, "nested too deeply");
    if (!attributes(r)) return WEIR_XML_FAULT;
    r->empty = *r->at == '/';
    r->at += r->empty ? 2 : 1;
    r->open[r->depth++] = name;
    r->name = without_prefix(name);
    return WEIR_XML_OPEN;
}

/* Up to the > or /> of a tag, which stays. */
static bool attributes(weir_xml_reader *r) {
    weir_str names[ATTRIBUTES_MAX];
    for (uint32_t count = 0;;) {
        bool spaced = space(r);
        if (ahead(r, ">") || ahead(r, "/>")) return true;
        const char *at = r->at;
        weir_str name, value;
        if (at == r->end) return fail(r, at, "expected '>', found the end");
        if (!spaced || !name_at(r, &name)) return fail(r, at, "expected '>' or an attribute");
        if (!quoted(r, &value)) return fail(r, at, "expected an attribute's value in quotes");
        if (count == ATTRIBUTES_MAX) return fail(r, at, "more than 32 attributes");
        for (uint32_t i = 0; i < count; i++)
            if (names[i].len == name.len && memcmp(names[i].ptr, name.ptr, (size_t)name.len) == 0)
                return fail(r, at, "an element has two attributes of one name");
        names[count++] = name;
        if (!characters(r, value.ptr, value.ptr + value.len)) return false;
        const char *p = value.ptr, *end = value.ptr + value.len;
        while (p < end) {
            if (*p == '<') return fail(r, p, "an attribute's value has a '<'");
            if (*p != '&')
                p++;
            else if (!reference(r, &p, end))
                return false;
        }
    }
}

static uint32_t close_tag(weir_xml_reader *r) {
    const char *begin = r->at;
    weir_str name, open = r->open[r->depth - 1];
    r->at += 2;
    if (!name_at(r, &name)) return refuse(r, begin, "expected the name of an end tag");
    space(r);
    if (!ahead(r, ">")) return refuse(r, r->at, "expected '>' of an end tag");
    if (name.len != open.len || memcmp(name.ptr, open.ptr, (size_t)name.len) != 0)
        return refuse(r, begin, "the end tag is not that of the element that is open");
    r->at++;
    r->depth--;
    r->name = without_prefix(name);
    return WEIR_XML_CLOSE;
}

static uint32_t text_run(weir_xml_reader *r) {
    const char *begin = r->at;
    const char *stop = memchr(begin, '<', (size_t)(r->end - begin));
    if (!stop) stop = r->end;
    if (!characters(r, begin, stop)) return WEIR_XML_FAULT;
    r->blank = true;
    for (const char *p = begin; p < stop;) {
        if (!is_space(*p)) r->blank = false;
        if (*p == '&') {
            r->escaped = true;
            if (!reference(r, &p, stop)) return WEIR_XML_FAULT;
            continue;
        }
        if (*p == '\r') r->escaped = true;
        if (*p == ']' && stop - p >= 3 && p[1] == ']' && p[2] == '>')
            return refuse(r, p, "a text has ']]>'");
        p++;
    }
    r->text = (weir_str){begin, (uint64_t)(stop - begin)};
    r->at = stop;
    return WEIR_XML_TEXT;
}

/*
 * The beginning of a section, or more of it. Its carriage returns are line ends, as in other text,
 * but its ampersands are themselves: so a section that has carriage returns comes in pieces, and
 * those that are line ends are the only ones marked for weir_xml_unescape.
 */
static uint32_t cdata(weir_xml_reader *r) {
    if (!r->section) {
        static const char opening[] = "<![CDATA[";
        const char *begin = r->at + sizeof opening - 1;
        const char *stop = find(r, begin, "]]>");
        if (!stop) return refuse(r, r->at, "expected ']]>', found the end");
        if (!characters(r, begin, stop)) return WEIR_XML_FAULT;
        r->at = begin;
        r->section = stop;
    }
    const char *begin = r->at, *stop = r->section;
    if (begin < stop && *begin == '\r') {
        r->at += begin + 1 < stop && begin[1] == '\n' ? 2 : 1;
        r->escaped = true;
    } else if (begin < stop) {
        const char *line_end = memchr(begin, '\r', (size_t)(stop - begin));
        r->at = line_end ? line_end : stop;
    }
    r->text = (weir_str){begin, (uint64_t)(r->at - begin)};
    if (r->at == stop) {
        r->at += 3;
        r->section = NULL;
    }
    return WEIR_XML_TEXT;
}

static bool comment(weir_xml_reader *r) {
    const char *begin = r->at + 4;
    const char *stop = find(r, begin, "--");
    if (!stop) return fail(r, r->at, "expected '-->', found the end");
    if (r->end - stop < 3 || stop[2] != '>') return fail(r, stop, "a comment has '--'");
    if (!characters(r, begin, stop)) return false;
    r->at = stop + 3;
    return true;
}

static bool instruction(weir_xml_reader *r) {
    const char *begin = r->at;
    weir_str name;
    r->at += 2;
    if (!name_at(r, &name)) return fail(r, begin, "expected an instruction's name");
    if (name.len == 3 && (name.ptr[0] | 32) == 'x' && (name.ptr[1] | 32) == 'm' &&
        (name.ptr[2] | 32) == 'l')
        return fail(r, begin, "an XML declaration stands only at the beginning");
    const char *body = r->at;
    const char *stop = find(r, body, "?>");
    if (!stop) return fail(r, begin, "expected '?>', found the end");
    if (stop > body && !is_space(*body))
        return fail(r, body, "expected white space behind an instruction's name");
    if (!characters(r, body, stop)) return false;
    r->at = stop + 2;
    return true;
}

/* Whether these bytes are characters that XML allows: UTF-8 without most of the control characters,
 * and without U+FFFE and U+FFFF. */
static bool characters(weir_xml_reader *r, const char *from, const char *to) {
    uint64_t len = (uint64_t)(to - from), valid = weir_utf8_span((weir_str){from, len});
    if (valid < len) return fail(r, from + valid, "the text is not valid UTF-8");
    for (const char *p = from; p < to; p++) {
        uint8_t c = (uint8_t)*p;
        if ((c < 0x20 && !is_space(*p)) ||
            (c == 0xef && (uint8_t)p[1] == 0xbf && (uint8_t)p[2] >= 0xbe))
            return fail(r, p, "the text has a character that XML does not allow");
    }
    return true;
}

/* Passes over the reference at `*at`. */
static bool reference(weir_xml_reader *r, const char **at, const char *end) {
    uint32_t code;
    uint64_t taken = take_reference(*at, end, &code);
    if (taken == 0) return fail(r, *at, "expected &amp; &lt; &gt; &quot; &apos; or &#number;");
    *at += taken;
    return true;
}

/* Length of the reference at `at` and the character it stands for; 0 if it is none. */
static uint64_t take_reference(const char *at, const char *end, uint32_t *code) {
    static const struct {
        const char *text;
        char c;
    } known[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};
    uint64_t left = (uint64_t)(end - at);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        size_t n = strlen(known[i].text);
        if (left < n || memcmp(at, known[i].text, n) != 0) continue;
        *code = (uint32_t)known[i].c;
        return n;
    }
    if (left < 4 || at[1] != '#') return 0;
    bool hex = at[2] == 'x';
    const char *p = at + (hex ? 3 : 2), *first = p;
    uint32_t v = 0;
    for (; p < end && *p != ';'; p++) {
        uint32_t c = (uint8_t)*p, digit;
        if (c >= '0' && c <= '9')
            digit = c - '0';
        else if (hex && (c | 32) >= 'a' && (c | 32) <= 'f')
            digit = (c | 32) - 'a' + 10;
        else
            return 0;
        v = v * (hex ? 16 : 10) + digit;
        if (v > 0x10ffff) return 0;
    }
    bool allowed = v == '\t' || v == '\n' || v == '\r' || (v >= 0x20 && v < 0xd800) ||
                   (v >= 0xe000 && v <= 0xfffd) || v >= 0x10000;
    if (p == end || p == first || !allowed) return 0;
    *code = v;
    return (uint64_t)(p + 1 - at);
}

/* = and a value in quotes, with white space around the sign. */
static bool quoted(weir_xml_reader *r, weir_str *out) {
    space(r);
    if (!ahead(r, "=")) return false;
    r->at++;
    space(r);
    if (r->at == r->end || (*r->at != '"' && *r->at != '\'')) return false;
    const char *begin = r->at + 1;
    const char *stop = memchr(begin, *r->at, (size_t)(r->end - begin));
    if (!stop) return false;
    *out = (weir_str){begin, (uint64_t)(stop - begin)};
    r->at = stop + 1;
    return true;
}

/* A name, or prefix:name, in ASCII. */
static bool name_at(weir_xml_reader *r, weir_str *out) {
    const char *begin = r->at, *part = begin;
    bool prefixed = false;
    for (; r->at < r->end; r->at++) {
        char c = *r->at;
        bool first = ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_';
        bool later = (c >= '0' && c <= '9') || c == '-' || c == '.';
        if (c == ':' && !prefixed && r->at > begin) {
            prefixed = true;
            part = r->at + 1;
        } else if (!first && (!later || r->at == part)) {
            break;
        }
    }
    *out = (weir_str){begin, (uint64_t)(r->at - begin)};
    /* A colon, or a byte that is not ASCII, may be part of a name to others: it must not end one
     * here. */
    return r->at > part && (r->at == r->end || ((uint8_t)*r->at < 0x80 && *r->at != ':'));
}

static bool space(weir_xml_reader *r) {
    const char *begin = r->at;
    while (r->at < r->end && is_space(*r->at)) r->at++;
    return r->at > begin;
}

static bool ahead(const weir_xml_reader *r, const char *word) {
    size_t n = strlen(word);
    return (size_t)(r->end - r->at) >= n && memcmp(r->at, word, n) == 0;
}

static const char *find(const weir_xml_reader *r, const char *from, const char *word) {
    size_t n = strlen(word);
    while ((size_t)(r->end - from) >= n) {
        const char *p = memchr(from, word[0], (size_t)(r->end - from) - n + 1);
        if (!p) return NULL;
        if (memcmp(p, word, n) == 0) return p;
        from = p + 1;
    }
    return NULL;
}

static weir_str without_prefix(weir_str name) {
    const char *colon = memchr(name.ptr, ':', (size_t)name.len);
    if (!colon) return name;
    return (weir_str){colon + 1, name.len - (uint64_t)(colon + 1 - name.ptr)};
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static uint32_t refuse(weir_xml_reader *r, const char *at, const char *text) {
    r->fault = text;
    r->fault_offset = (uint64_t)(at - r->begin);
    return r->event = WEIR_XML_FAULT;
}

static bool fail(weir_xml_reader *r, const char *at, const char *text) {
    refuse(r, at, text);
    return false;
}
