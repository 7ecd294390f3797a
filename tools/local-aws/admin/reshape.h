/*
 * tools/local-aws/admin/reshape.h - answers said in another form that means the same. Private to
 * admin/.
 *
 * A rule may ask for what real services and other emulators do and this one would not: time stamps
 * with exponents, absent members as nulls, an error's type in the header only, in the body only, or
 * behind a namespace. The answer is read and written again; what is no JSON and no CBOR stays.
 */
#ifndef WEIR_LOCAL_RESHAPE_H
#define WEIR_LOCAL_RESHAPE_H

#include "admin/rules.h"

/* Whether the rule wants any of it. */
bool reshape_wanted(const rule *r);
/* Appends `text`, a JSON or CBOR document, in the rule's form. `error`: it is an error's body.
 * False: it is neither, or there was no memory; `out` is then of no use. */
bool reshape_text(const rule *r, bool cbor, bool error, weir_str text, buf *out);
/* An answer whose parts are all given: body and header. */
void reshape_answer(const rule *r, exchange *x);
/* Breaks frame `number` of an event stream, a whole one in `frame`, as the rule's "stream" says.
 * True: nothing may follow it. */
bool reshape_frame(const rule *r, uint64_t number, buf *frame);

#endif
