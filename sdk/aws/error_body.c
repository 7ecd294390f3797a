/* Code and message out of the body of a failed answer, in each protocol's shape. */
#include <stdlib.h>
#include <string.h>

#include "cbor.h"
#include "errors.h"
#include "weir/json.h"
#include "xml.h"

static void from_members(aws_error_parts *out, const weir_value *root);
static void from_json(aws_error_parts *out, weir_str body);
static void from_cbor(aws_error_parts *out, weir_str body);
static void from_xml(aws_error_parts *out, weir_str body);
static weir_str bare_code(weir_str s);
static char first_byte(weir_str body);
static bool is_cbor_map(weir_str body);

void aws_error_parts_free(aws_error_parts *p) {
    text_free(&p->code);
    text_free(&p->message);
}

/* The content type is no help: services behind a gateway answer in the gateway's format. The first
 * byte is: no JSON text begins as an XML document or a CBOR map does. */
void aws_error_read(aws_error_parts *out, weir_str type_header, weir_str body) {
    text_add_str(&out->code, bare_code(type_header));
    if (body.len == 0) return;
    if (first_byte(body) == '<')
        from_xml(out, body);
    else if (is_cbor_map(body))
        from_cbor(out, body);
    else
        from_json(out, body);
}

/* {"__type": "com.amazonaws.kinesis#ResourceNotFoundException", "message": "..."}, and what other
 * services call these members. */
static void from_members(aws_error_parts *out, const weir_value *root) {
    static const char *const codes[] = {"__type", "code"};
    static const char *const messages[] = {"message", "Message", "errorMessage"};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0] && out->code.len == 0; i++)
        text_add_str(&out->code, bare_code(weir_json_get_str(root, codes[i], "")));
    for (size_t i = 0; i < sizeof messages / sizeof messages[0] && out->message.len == 0; i++)
        text_add_str(&out->message, weir_json_get_str(root, messages[i], ""));
}

static void from_json(aws_error_parts *out, weir_str body) {
    weir_json_doc *doc = weir_json_read(body, 0, NULL);
    if (doc) from_members(out, weir_json_root(doc));
    weir_json_free(doc);
}

/* Memory of one CBOR document: the tape, and strings that came in chunks. */
typedef struct cbor_room {
    weir_json_parser parser;
    char *strings;
    uint64_t used;
} cbor_room;

static weir_value *grow_tape(void *opaque, uint32_t used, uint32_t capacity, uint32_t *got) {
    cbor_room *room = opaque;
    (void)used;
    weir_value *nodes = realloc(room->parser.nodes, (size_t)capacity * sizeof *nodes);
    if (!nodes) return NULL;
    room->parser.nodes = nodes; /* the old ones are gone, also if the parser stops here */
    *got = capacity;
    return nodes;
}

static char *take_string(void *opaque, uint64_t size) {
    cbor_room *room = opaque;
    char *bytes = room->strings + room->used;
    room->used += size;
    return bytes;
}

static void from_cbor(aws_error_parts *out, weir_str body) {
    cbor_room room = {.parser = {.grow = grow_tape, .alloc = take_string}};
    room.parser.opaque = &room;
    if (body.len > TEXT_MAX) return;
    room.strings = malloc(3 * (size_t)body.len); /* cbor.h: strings are never longer */
    if (!room.strings) return;
    if (weir_cbor_parse(&room.parser, body) == WEIR_OK) from_members(out, room.parser.nodes);
    weir_json_parser_free(&room.parser);
    free(room.parser.nodes);
    free(room.strings);
}

/* The first <Code> and <Message>, wherever they stand: S3 has them in <Error>, STS in
 * <ErrorResponse><Error>, EC2 in <Response><Errors><Error>. What was found before the document
 * turns out to be broken counts. */
static void from_xml(aws_error_parts *out, weir_str body) {
    weir_xml_reader r;
    char *room = malloc((size_t)body.len);
    if (!room) return;
    weir_xml_begin(&r, body);
    while (weir_xml_next_element(&r) == WEIR_XML_OPEN || r.event == WEIR_XML_CLOSE) {
        if (r.event == WEIR_XML_CLOSE) continue;
        text *part = weir_xml_is(&r, "Code")      ? &out->code
                     : weir_xml_is(&r, "Message") ? &out->message
                                                  : NULL;
        weir_str s;
        if (!part || part->len > 0) continue;
        if (weir_xml_text(&r, room, body.len, &s) == WEIR_OK) text_add_str(part, s);
    }
    free(room);
}

bool aws_error_in_success(weir_str body) {
    weir_xml_reader r;
    for (; body.len > 0 && strchr(" \t\r\n", body.ptr[0]) && body.ptr[0]; body.len--) body.ptr++;
    if (body.len == 0) return true;
    weir_xml_begin(&r, body);
    return weir_xml_next_element(&r) != WEIR_XML_OPEN || weir_xml_is(&r, "Error");
}

/* "com.amazonaws.kinesis#ResourceNotFoundException:http://..." -> the name in the middle. */
static weir_str bare_code(weir_str s) {
    if (!s.ptr) return (weir_str){"", 0};
    const char *colon = memchr(s.ptr, ':', (size_t)s.len);
    if (colon) s.len = (uint64_t)(colon - s.ptr);
    for (uint64_t i = s.len; i > 0; i--) {
        if (s.ptr[i - 1] != '#') continue;
        s.ptr += i;
        s.len -= i;
        break;
    }
    return s;
}

/* Behind a byte order mark and white space, which S3 sends to keep a connection alive. */
static char first_byte(weir_str body) {
    uint64_t i = body.len >= 3 && memcmp(body.ptr, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    while (i < body.len && strchr(" \t\r\n", body.ptr[i]) && body.ptr[i] != '\0') i++;
    return i < body.len ? body.ptr[i] : '\0';
}

/* Maybe behind the tag that says "this is CBOR". */
static bool is_cbor_map(weir_str body) {
    uint64_t i = body.len > 3 && memcmp(body.ptr, "\xd9\xd9\xf7", 3) == 0 ? 3 : 0;
    return ((uint8_t)body.ptr[i] & 0xe0) == 0xa0;
}
