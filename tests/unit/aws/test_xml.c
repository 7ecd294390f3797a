/* XML: answers as services send them, every refusal, texts with entities, the writer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "aws/xml.h"

static weir_str str(const char *z) {
    return (weir_str){z, strlen(z)};
}

static void expect_str(weir_str s, const char *want) {
    assert_int_equal(s.len, strlen(want));
    assert_memory_equal(s.ptr, want, s.len);
}

/* Events as text: (name ... ) for elements, 'text' for runs, ! and what is wrong. Runs of white
 * space are left out. The document lies in an allocation of its size. */
static void expect(const char *document, const char *want) {
    char got[1024];
    size_t len = 0, size = strlen(document);
    char *exact = malloc(size ? size : 1);
    memcpy(exact, document, size);
    weir_xml_reader r;
    weir_xml_begin(&r, (weir_str){exact, size});
    uint32_t event;
    got[0] = '\0';
    do {
        event = weir_xml_next(&r);
        char *text = malloc(r.text.len + 1);
        int n = 0;
        if (event == WEIR_XML_OPEN)
            n = snprintf(got + len, sizeof got - len, "(%.*s ", (int)r.name.len, r.name.ptr);
        if (event == WEIR_XML_CLOSE) n = snprintf(got + len, sizeof got - len, ")");
        if (event == WEIR_XML_TEXT && !r.blank) {
            uint64_t used = r.escaped ? weir_xml_unescape(r.text, text) : r.text.len;
            if (!r.escaped) memcpy(text, r.text.ptr, used);
            n = snprintf(got + len, sizeof got - len, "'%.*s'", (int)used, text);
        }
        if (event == WEIR_XML_FAULT)
            n = snprintf(got + len, sizeof got - len, "!%u %s", (unsigned)r.fault_offset, r.fault);
        len += (size_t)n;
        assert_true(len < sizeof got);
        free(text);
    } while (event != WEIR_XML_END && event != WEIR_XML_FAULT);
    assert_int_equal(weir_xml_next(&r), event);
    assert_string_equal(got, want);
    free(exact);
}

static void test_events(void **state) {
    (void)state;
    expect("<a/>", "(a )");
    expect("<a></a >", "(a )");
    expect("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<!-- x --><a>b</a>\n<?p i?>", "(a 'b')");
    expect("\xef\xbb\xbf<?xml version='1.0' standalone='yes' ?><a/>", "(a )");
    expect(" \n <?xml version=\"1.0\"?> <a/>", "(a )"); /* keeps a connection alive */
    expect("<s:a xmlns:s='u' x = \"&lt;>\" ><s:b.c-d_1/>t</s:a>", "(a (b.c-d_1 )'t')");
    expect("<a>x&amp;&lt;&gt;&quot;&apos;&#65;&#x1F600;&#x3b1;</a>",
           "(a 'x&<>\"'A\xf0\x9f\x98\x80\xce\xb1')");
    expect("<a>1<!-- no -->2<?pi?>3<![CDATA[<&amp;>]]>4</a>", "(a '1''2''3''<&amp;>''4')");
    expect("<a>l\r\nm\rn&#13;</a>", "(a 'l\nm\nn\r')");
    expect("<a><![CDATA[&\r\n\r&]]]></a>", "(a '&''\n''\n''&]')");
    expect("<a><![CDATA[]]></a>", "(a '')");
    expect("<a>\xc3\xa9 ]] ]> \xed\x9f\xbf</a>", "(a '\xc3\xa9 ]] ]> \xed\x9f\xbf')");
}

static void test_refusals(void **state) {
    (void)state;
    expect("", "!0 expected an element, found the end");
    expect("x", "!0 expected an element, found text");
    expect("<a>", "(a !3 expected an end tag, found the end");
    expect("<a", "!2 expected '>', found the end");
    expect("<a/", "!2 expected '>' or an attribute");
    expect("<", "!0 expected an element's name of ASCII letters");
    expect("<1/>", "!0 expected an element's name of ASCII letters");
    expect("<\xc3\xa9/>", "!0 expected an element's name of ASCII letters");
    expect("<a\xc3\xa9/>", "!0 expected an element's name of ASCII letters");
    static const char *const names[] = {"<:a/>",   "<a:/>",  "<a:b:c/>",
                                        "<a::b/>", "<a:1/>", "<a:-/>"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        expect(names[i], "!0 expected an element's name of ASCII letters");
    expect("< a/>", "!0 expected an element's name of ASCII letters");
    expect("<a></b>", "(a !3 the end tag is not that of the element that is open");
    expect("<x:a></y:a>", "(a !5 the end tag is not that of the element that is open");
    expect("<a></a", "(a !6 expected '>' of an end tag");
    expect("<a></a x='1'>", "(a !7 expected '>' of an end tag");
    expect("<a></ a>", "(a !3 expected the name of an end tag");
    expect("<a/><b/>", "(a )!4 expected the end, found more behind the root element");
    expect("<a/>x", "(a )!4 expected the end, found more behind the root element");
    expect("<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>",
           "!0 a document type declaration is not accepted");
    expect("<a><!DOCTYPE a></a>", "(a !3 expected an element's name of ASCII letters");
    static const char reference[] = "(a !3 expected &amp; &lt; &gt; &quot; &apos; or &#number;";
    static const char *const wrong[] = {"&x;",        "&",
                                        "&amp",       "&AMP;",
                                        "&;",         "&#;",
                                        "&#x;",       "&#0;",
                                        "&#1;",       "&#xD800;",
                                        "&#xFFFE;",   "&#xFFFF;",
                                        "&#x110000;", "&#99999999999999;",
                                        "&#1a;",      "&#-1;",
                                        "&#X41;",     "& amp;",
                                        "&#x",        "&#xfffffffffffffffff0041;"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char document[64];
        snprintf(document, sizeof document, "<a>%s</a>", wrong[i]);
        expect(document, reference);
    }
    expect("<a>]]></a>", "(a !3 a text has ']]>'");
    expect("<a>\x01</a>", "(a !3 the text has a character that XML does not allow");
    expect("<a>\xef\xbf\xbe</a>", "(a !3 the text has a character that XML does not allow");
    expect("<a>\xc0\x80</a>", "(a !3 the text is not valid UTF-8");
    expect("<a b></a>", "!3 expected an attribute's value in quotes");
    expect("<a b=c></a>", "!3 expected an attribute's value in quotes");
    expect("<a b='c></a>", "!3 expected an attribute's value in quotes");
    expect("<a b='<'/>", "!6 an attribute's value has a '<'");
    expect("<a b='&x;'/>", "!6 expected &amp; &lt; &gt; &quot; &apos; or &#number;");
    expect("<a b='1'c='2'/>", "!8 expected '>' or an attribute");
    expect("<a b='1' b='2'/>", "!9 an element has two attributes of one name");
    expect("<a b='\x02'/>", "!6 the text has a character that XML does not allow");
    expect("<!-- a -- b --><a/>", "!7 a comment has '--'");
    expect("<!-- a", "!0 expected '-->', found the end");
    expect("<!-- a --->", "!7 a comment has '--'");
    expect("<a><![CDATA[x]]</a>", "(a !3 expected ']]>', found the end");
    expect("<a><?xml version='1.0'?></a>", "(a !3 an XML declaration stands only at the beginning");
    expect("<?\?><a/>", "!0 expected an instruction's name");
    expect("<?p", "!0 expected '?>', found the end");
    expect("<?p/?><a/>", "!3 expected white space behind an instruction's name");
    static const char *const declarations[] = {
        "<?xml version='1.1'?><a/>",
        "<?xml encoding='UTF-8'?><a/>",
        "<?xml version='1.0' encoding='UTF-16'?><a/>",
        "<?xml version='1.0' standalone='no' encoding='UTF-8'?><a/>",
        "<?xml version='1.0' standalone='maybe'?><a/>",
        "<?xml version='1.0'encoding='UTF-8'?><a/>",
        "<?xml version='1.0' x='y'?><a/>",
        "<?xml version='1.0'",
        "<?xml ?><a/>"};
    for (size_t i = 0; i < sizeof declarations / sizeof declarations[0]; i++)
        expect(declarations[i], "!0 expected an XML declaration of version 1.0 in UTF-8");
}

static void test_limits(void **state) {
    (void)state;
    char document[3 * (WEIR_XML_DEPTH_MAX + 1)];
    for (uint32_t i = 0; i <= WEIR_XML_DEPTH_MAX; i++) memcpy(document + (size_t)i * 3, "<a>", 3);
    weir_xml_reader r;
    weir_xml_begin(&r, (weir_str){document, sizeof document});
    for (uint32_t i = 0; i < WEIR_XML_DEPTH_MAX; i++) {
        assert_int_equal(weir_xml_next(&r), WEIR_XML_OPEN);
        assert_int_equal(r.depth, i + 1);
    }
    assert_int_equal(weir_xml_next(&r), WEIR_XML_FAULT);
    assert_string_equal(r.fault, "nested too deeply");
    /* Refused by its length alone: not a byte is read. */
    weir_xml_begin(&r, (weir_str){document, WEIR_XML_SIZE_MAX + 1});
    assert_int_equal(weir_xml_next(&r), WEIR_XML_FAULT);
    char attributes[512] = "<a";
    for (uint32_t i = 0, at = 2; i < 33; i++)
        at += (uint32_t)snprintf(attributes + at, sizeof attributes - at, " a%u=''", i);
    weir_xml_begin(&r, str(attributes));
    assert_int_equal(weir_xml_next(&r), WEIR_XML_FAULT);
    assert_string_equal(r.fault, "more than 32 attributes");
}

/* How answers are read: what is wanted by name, the rest passed over. */
static void test_answers(void **state) {
    (void)state;
    static const char list[] =
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name>"
        "<KeyCount>2</KeyCount><Contents><Key>a&amp;b</Key><ETag>&quot;e&quot;</ETag>"
        "<Owner><ID>x</ID><Key>not this</Key></Owner></Contents>\n"
        "<Contents><Key><![CDATA[c]]>d</Key></Contents><Empty/></ListBucketResult>";
    char room[32], keys[64] = "";
    weir_xml_reader r;
    weir_str text;
    uint32_t contents = 0;
    weir_xml_begin(&r, str(list));
    assert_int_equal(weir_xml_next_element(&r), WEIR_XML_OPEN);
    assert_true(weir_xml_is(&r, "ListBucketResult"));
    assert_false(weir_xml_is(&r, "ListBucket"));
    while (weir_xml_next_element(&r) == WEIR_XML_OPEN) {
        if (weir_xml_is(&r, "Name")) {
            assert_int_equal(weir_xml_text(&r, NULL, 0, &text), WEIR_OK);
            expect_str(text, "b");
            assert_true(text.ptr > list && text.ptr < list + sizeof list);
        } else if (weir_xml_is(&r, "Contents")) {
            contents++;
            while (weir_xml_next_element(&r) == WEIR_XML_OPEN) {
                if (!weir_xml_is(&r, "Key")) {
                    assert_true(weir_xml_skip(&r));
                    continue;
                }
                assert_int_equal(weir_xml_text(&r, room, sizeof room, &text), WEIR_OK);
                snprintf(keys + strlen(keys), sizeof keys - strlen(keys), "%.*s;", (int)text.len,
                         text.ptr);
            }
            assert_true(weir_xml_is(&r, "Contents"));
        } else if (weir_xml_is(&r, "Empty")) {
            assert_int_equal(weir_xml_text(&r, NULL, 0, &text), WEIR_OK);
            assert_int_equal(text.len, 0);
        } else {
            assert_true(weir_xml_skip(&r));
        }
    }
    assert_int_equal(r.event, WEIR_XML_CLOSE);
    assert_int_equal(weir_xml_next(&r), WEIR_XML_END);
    assert_int_equal(contents, 2);
    assert_string_equal(keys, "a&b;cd;");
}

static void test_text(void **state) {
    (void)state;
    char room[8];
    weir_xml_reader r;
    weir_str text;
    weir_xml_begin(&r, str("<a>ab&amp;c</a>"));
    weir_xml_next(&r);
    assert_int_equal(weir_xml_text(&r, room, 7, &text), WEIR_E_TOO_LARGE);
    weir_xml_begin(&r, str("<a>ab&amp;c</a>"));
    weir_xml_next(&r);
    assert_int_equal(weir_xml_text(&r, room, 8, &text), WEIR_OK);
    expect_str(text, "ab&c");
    weir_xml_begin(&r, str("<a>a<!---->b<![CDATA[c\r\nd]]></a>"));
    weir_xml_next(&r);
    assert_int_equal(weir_xml_text(&r, room, 8, &text), WEIR_OK);
    expect_str(text, "abc\nd");
    weir_xml_begin(&r, str("<a>x<b/></a>"));
    weir_xml_next(&r);
    assert_int_equal(weir_xml_text(&r, room, 8, &text), WEIR_E_DATA);
    assert_int_equal(weir_xml_next(&r), WEIR_XML_FAULT);
    weir_xml_begin(&r, str("<a><b>"));
    weir_xml_next(&r);
    assert_false(weir_xml_skip(&r));
}

static void test_write(void **state) {
    (void)state;
    static const char want[] =
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<R xmlns=\"http://x/\"><K>a&amp;&lt;&gt;&quot;"
        "&apos;&#13;\n</K><N>18446744073709551615</N><E></E><r/></R>";
    for (uint64_t capacity = 0; capacity < sizeof want; capacity++) {
        char *out = malloc(capacity ? capacity : 1);
        weir_xml_writer w;
        weir_xml_writer_init(&w, out, capacity);
        weir_xml_put_declaration(&w);
        weir_xml_put_open_ns(&w, "R", "http://x/");
        weir_xml_put_element_z(&w, "K", "a&<>\"'\r\n");
        weir_xml_put_element_u64(&w, "N", UINT64_MAX);
        weir_xml_put_element(&w, "E", (weir_str){NULL, 0});
        weir_xml_put_raw(&w, str("<r/>"));
        weir_xml_put_close(&w, "R");
        assert_int_equal(w.len, sizeof want - 1);
        assert_true(weir_xml_writer_ok(&w) == (capacity == sizeof want - 1));
        if (weir_xml_writer_ok(&w)) assert_memory_equal(out, want, w.len);
        free(out);
    }
    /* What cannot be written is replaced, and the rest stands. */
    char out[64];
    weir_xml_writer w;
    weir_xml_writer_init(&w, out, sizeof out);
    weir_xml_put_text(&w, (weir_str){"a\0b\xff\xc3\xa9\xef\xbf\xbf"
                                     "c\xe2\x82",
                                     12});
    expect_str((weir_str){out, w.len}, "a\xef\xbf\xbd"
                                       "b\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd"
                                       "c"
                                       "\xef\xbf\xbd\xef\xbf\xbd");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_limits), cmocka_unit_test(test_answers),
        cmocka_unit_test(test_text),   cmocka_unit_test(test_write)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
