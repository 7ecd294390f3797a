/*
 * Tags of objects: ten at most, each name once, from a header or a document.
 */
#include <stdio.h>

#include "aws/text.h"
#include "s3/call.h"
#include "xml.h"

/* Letters, digits, spaces and + - = . _ : / @; of letters beyond ASCII all are taken. */
static bool allowed(weir_str s) {
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        bool ok = c >= 0x80 || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  (c >= '0' && c <= '9') || (c && strchr(" +-=._:/@", c));
        if (!ok) return false;
    }
    return str_is_utf8(s);
}

static bool add(s3_call *call, s3_fields *out, weir_str name, weir_str value) {
    if (!name.len || aws_characters(name) > S3_TAG_KEY_MAX || !allowed(name) ||
        str_starts(name, STR("aws:"))) {
        s3_detail(call, "TagKey", name);
        s3_fail_text(call, &S3_INVALID_TAG, "The TagKey you have provided is invalid");
        return false;
    }
    if (aws_characters(value) > S3_TAG_VALUE_MAX || !allowed(value)) {
        s3_detail(call, "TagKey", name);
        s3_detail(call, "TagValue", value);
        s3_fail_text(call, &S3_INVALID_TAG, "The TagValue you have provided is invalid");
        return false;
    }
    for (uint32_t i = 0; i < out->count; i++) {
        if (!str_eq_z(name, out->items[i].name)) continue;
        s3_detail(call, "TagKey", name);
        s3_fail_text(call, &S3_INVALID_TAG, "Cannot provide multiple Tags with the same key");
        return false;
    }
    if (out->count == S3_TAGS_MAX) {
        s3_fail_text(call, &S3_BAD_REQUEST, "Object tags cannot be greater than %u", S3_TAGS_MAX);
        return false;
    }
    if (s3_fields_add(out, name, value)) return true;
    s3_fail(call, &S3_INTERNAL_ERROR);
    return false;
}

bool s3_tags_read_header(s3_call *call, weir_str text, s3_fields *out) {
    while (text.len) {
        weir_str value = aws_until(&text, '&');
        weir_str key = s3_decode(call, aws_until(&value, '='), true);
        value = s3_decode(call, value, true);
        if (!key.len || !value.ptr) {
            s3_fields_free(out);
            s3_fail_argument(call, "x-amz-tagging", s3_header(call, "x-amz-tagging"),
                             "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded "
                             "URL query parameters without tag name duplicates.");
            return false;
        }
        if (!add(call, out, key, value)) {
            s3_fields_free(out);
            return false;
        }
    }
    return true;
}

/* One <Tag>; the reader stands behind its beginning. */
static bool read_tag(s3_call *call, weir_xml_reader *r, weir_str *key, weir_str *value) {
    *key = *value = (weir_str){NULL, 0};
    uint32_t event;
    while ((event = weir_xml_next_element(r)) == WEIR_XML_OPEN) {
        weir_str *to = weir_xml_is(r, "Key") ? key : weir_xml_is(r, "Value") ? value : NULL;
        size_t room = (size_t)(r->end - r->at);
        char *text = to ? s3_alloc(call, room < 4096 ? room + 1 : 4096) : NULL;
        if (!text || weir_xml_text(r, text, room < 4096 ? room : 4096, to) != WEIR_OK) return false;
    }
    return event == WEIR_XML_CLOSE && key->ptr && value->ptr;
}

bool s3_tags_read_xml(s3_call *call, weir_str text, s3_fields *out) {
    *out = (s3_fields){0};
    weir_xml_reader r;
    weir_xml_begin(&r, text);
    bool set = false;
    if (weir_xml_next_element(&r) != WEIR_XML_OPEN || !weir_xml_is(&r, "Tagging")) goto malformed;
    while (weir_xml_next_element(&r) == WEIR_XML_OPEN) {
        if (weir_xml_is(&r, "TagSet")) {
            set = true;
            continue;
        }
        weir_str key, value;
        if (!set || !weir_xml_is(&r, "Tag") || !read_tag(call, &r, &key, &value)) goto malformed;
        if (!add(call, out, key, value)) {
            s3_fields_free(out);
            return false;
        }
    }
    while (r.event == WEIR_XML_CLOSE) weir_xml_next_element(&r);
    if (set && r.event == WEIR_XML_END) return true;
malformed:
    s3_fields_free(out);
    s3_fail(call, &S3_MALFORMED_XML);
    return false;
}

void s3_op_get_tags(s3_call *call) {
    const s3_object *o = s3_object_wanted(call);
    if (!o) return;
    buf *b = &call->xml;
    s3_xml_begin(b, "Tagging");
    s3_xml_open(b, "TagSet");
    for (uint32_t i = 0; i < o->said.tags.count; i++) {
        s3_xml_open(b, "Tag");
        s3_xml_z(b, "Key", o->said.tags.items[i].name);
        s3_xml_z(b, "Value", o->said.tags.items[i].value);
        s3_xml_close(b, "Tag");
    }
    s3_xml_close(b, "TagSet");
    s3_xml_close(b, "Tagging");
    s3_end_xml(call);
}

void s3_op_put_tags(s3_call *call) {
    weir_str text;
    s3_fields tags;
    s3_object *o = s3_object_wanted(call);
    if (!o || !s3_body_text(call, true, &text) || !s3_tags_read_xml(call, text, &tags)) return;
    s3_fields_free(&o->said.tags);
    o->said.tags = tags;
    s3_end(call, 200);
}

void s3_op_delete_tags(s3_call *call) {
    s3_object *o = s3_object_wanted(call);
    if (!o) return;
    s3_fields_free(&o->said.tags);
    s3_end(call, 204);
}
