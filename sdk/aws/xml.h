/*
 * sdk/aws/xml.h - a small XML reader and writer, as far as S3 and STS need them. Part of
 * libweir_aws.a.
 *
 * The reader is pulled: each call gives the beginning of an element, its end, or a run of text. It
 * allocates nothing and points into the document. Attributes are checked and passed over, names
 * lose their prefix, comments and processing instructions are dropped. What it accepts is
 * well-formed XML 1.0 in UTF-8; beyond that it refuses document type declarations (and with them
 * entities of the document's own), names that are not ASCII, and depth beyond WEIR_XML_DEPTH_MAX.
 * White space before the XML declaration is accepted: S3 sends it to keep a connection alive.
 *
 *     weir_xml_reader r;
 *     weir_xml_begin(&r, body);
 *     while (weir_xml_next_element(&r) == WEIR_XML_OPEN)
 *         if (weir_xml_is(&r, "UploadId")) weir_xml_text(&r, room, sizeof room, &id);
 */
#ifndef WEIR_AWS_XML_H
#define WEIR_AWS_XML_H

#include <stdbool.h>

#include "weir/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Answers of S3 nest six deep. */
#define WEIR_XML_DEPTH_MAX 32u
#define WEIR_XML_SIZE_MAX (64u * 1024 * 1024) /* a longer document is refused */

/* Events. */
#define WEIR_XML_END 0u   /* the document ended as it should */
#define WEIR_XML_OPEN 1u  /* <name ...>; an empty element <name/> gives OPEN and then CLOSE */
#define WEIR_XML_CLOSE 2u /* </name> */
#define WEIR_XML_TEXT 3u  /* a run of text; neighbours with CDATA or comments between come apart */
#define WEIR_XML_FAULT 4u /* `fault` says what is wrong at `fault_offset`; no call leaves this */

typedef struct weir_xml_reader {
    weir_str name; /* OPEN, CLOSE: without prefix */
    weir_str text; /* TEXT: as it stands in the document */
    bool escaped;  /* TEXT: has entities or carriage returns: see weir_xml_unescape */
    bool blank;    /* TEXT: is white space only, and no CDATA */
    uint32_t event;
    uint32_t depth; /* elements open, the one of an OPEN included, that of a CLOSE not */
    const char *fault;
    uint64_t fault_offset;
    /* the reader's own */
    const char *begin, *at, *end;
    const char *section; /* end of the CDATA section that is being read */
    bool empty, rooted;
    weir_str open[WEIR_XML_DEPTH_MAX]; /* names with prefix */
} weir_xml_reader;

/* `document` must stay as long as anything that was read from it. */
void weir_xml_begin(weir_xml_reader *r, weir_str document);
/* The next event, which is also in r->event. */
uint32_t weir_xml_next(weir_xml_reader *r);
/* The next OPEN, CLOSE, END or FAULT: text is passed over. */
uint32_t weir_xml_next_element(weir_xml_reader *r);
/* Whether the element of the last OPEN or CLOSE has this name. */
bool weir_xml_is(const weir_xml_reader *r, const char *name);

/*
 * After OPEN: the text of that element, read up to and including its CLOSE. It points into the
 * document if it is one run without entities, else into `room`. WEIR_E_TOO_LARGE: the room is too
 * small (the text's length in the document is always enough); WEIR_E_DATA: a fault, or an element
 * inside, which is a fault too.
 */
weir_status weir_xml_text(weir_xml_reader *r, char *room, uint64_t room_len, weir_str *out);
/* After OPEN: passes over everything up to and including its CLOSE. False: a fault. */
bool weir_xml_skip(weir_xml_reader *r);

/* Text with its entities replaced and its line ends made \n. At most text.len bytes; gives their
 * number. For text that the reader gave. */
uint64_t weir_xml_unescape(weir_str text, char *out);

/*
 * A writer into the caller's memory, which counts on when that is full: `len` says what was needed.
 * Names are the caller's and are not checked.
 */
typedef struct weir_xml_writer {
    char *out;
    uint64_t capacity;
    uint64_t len;
} weir_xml_writer;

void weir_xml_writer_init(weir_xml_writer *w, char *out, uint64_t capacity);
bool weir_xml_writer_ok(const weir_xml_writer *w);
/* <?xml version="1.0" encoding="UTF-8"?> and a line end. */
void weir_xml_put_declaration(weir_xml_writer *w);
void weir_xml_put_open(weir_xml_writer *w, const char *name);
/* With a default namespace: xmlns="..." */
void weir_xml_put_open_ns(weir_xml_writer *w, const char *name, const char *ns);
void weir_xml_put_close(weir_xml_writer *w, const char *name);
/* Text with & < > " ' and carriage returns escaped. Bytes that XML 1.0 has no way to write (control
 * characters, U+FFFE, U+FFFF, bytes that are no UTF-8) become U+FFFD: keys that may hold them are
 * sent with encoding-type=url. */
void weir_xml_put_text(weir_xml_writer *w, weir_str s);
void weir_xml_put_element(weir_xml_writer *w, const char *name, weir_str text);
void weir_xml_put_element_z(weir_xml_writer *w, const char *name, const char *text);
void weir_xml_put_element_u64(weir_xml_writer *w, const char *name, uint64_t v);
void weir_xml_put_raw(weir_xml_writer *w, weir_str xml);

#ifdef __cplusplus
}
#endif
#endif
