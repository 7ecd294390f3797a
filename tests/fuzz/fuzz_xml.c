/*
 * The XML reader and writer. Beyond not crashing: events nest, texts and names lie in the document,
 * a refusal names a place in it; what was read, written again, is read as the same elements and
 * texts; and any bytes written as a text come back as a text.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "aws/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition) {
    if (!condition) abort();
}

/* Elements and texts of a document as a document, without attributes and the like; neighbouring
 * texts become one. Gives whether it was well-formed. */
static bool copy(const char *document, uint64_t len, weir_xml_writer *w) {
    weir_xml_reader r;
    weir_xml_begin(&r, (weir_str){document, len});
    uint32_t depth = 0;
    for (;;) {
        uint32_t event = weir_xml_next(&r);
        if (event == WEIR_XML_END) {
            require(depth == 0);
            return true;
        }
        if (event == WEIR_XML_FAULT) {
            require(r.fault != NULL && r.fault_offset <= len);
            return false;
        }
        weir_str s = event == WEIR_XML_TEXT ? r.text : r.name;
        require(s.ptr >= document && s.ptr + s.len <= document + len);
        if (event == WEIR_XML_TEXT) {
            char *text = malloc(s.len + 1);
            require(text && depth > 0);
            uint64_t used = r.escaped ? weir_xml_unescape(s, text) : s.len;
            require(used <= s.len);
            if (!r.escaped && s.len) memcpy(text, s.ptr, s.len);
            weir_xml_put_text(w, (weir_str){text, used});
            free(text);
            continue;
        }
        depth += event == WEIR_XML_OPEN ? 1 : UINT32_MAX;
        require(depth == r.depth && depth <= WEIR_XML_DEPTH_MAX);
        weir_xml_put_raw(
            w, (weir_str){event == WEIR_XML_OPEN ? "<n" : "</n", event == WEIR_XML_OPEN ? 2 : 3});
        weir_xml_put_raw(w, s);
        weir_xml_put_raw(w, (weir_str){">", 1});
    }
}

static char *copied(const char *document, uint64_t len, uint64_t *out_len) {
    weir_xml_writer w;
    weir_xml_writer_init(&w, NULL, 0);
    if (!copy(document, len, &w)) return NULL;
    *out_len = w.len;
    char *out = malloc(w.len);
    require(out != NULL);
    weir_xml_writer_init(&w, out, *out_len);
    require(copy(document, len, &w) && weir_xml_writer_ok(&w) && w.len == *out_len);
    return out;
}

/* Without the letter that copy puts before each name, so that copies can be compared. */
static void same_but_names(const char *a, uint64_t a_len, const char *b, uint64_t b_len) {
    uint64_t i = 0, j = 0;
    while (i < a_len && j < b_len) {
        bool tag = a[i] == '<';
        require(a[i++] == b[j++]);
        if (!tag) continue;
        if (i < a_len && a[i] == '/') require(a[i++] == b[j++]);
        require(j < b_len && b[j++] == 'n'); /* its copy has one more */
    }
    require(i == a_len && j == b_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint64_t first_len, second_len;
    char *first = copied((const char *)data, size, &first_len);
    if (first) {
        char *second = copied(first, first_len, &second_len);
        require(second != NULL);
        same_but_names(first, first_len, second, second_len);
        free(second);
        free(first);
    }

    /* <a>...</a> around the input as a text. */
    weir_xml_writer w;
    weir_xml_writer_init(&w, NULL, 0);
    weir_xml_put_element(&w, "a", (weir_str){(const char *)data, size});
    uint64_t len = w.len;
    char *document = malloc(len), *room = malloc(len);
    require(document && room);
    weir_xml_writer_init(&w, document, len);
    weir_xml_put_element(&w, "a", (weir_str){(const char *)data, size});
    weir_xml_reader r;
    weir_str text;
    weir_xml_begin(&r, (weir_str){document, len});
    require(weir_xml_next(&r) == WEIR_XML_OPEN && weir_xml_is(&r, "a"));
    require(weir_xml_text(&r, room, len, &text) == WEIR_OK);
    require(weir_xml_next(&r) == WEIR_XML_END);
    weir_xml_writer_init(&w, NULL, 0);
    weir_xml_put_element(&w, "a", text);
    require(w.len == len);
    free(room);
    free(document);
    return 0;
}
