/*
 * tools/local-aws/aws/shell.h - private to aws/, and for services that write encodings apart from a
 * call (events of a stream).
 */
#ifndef WEIR_LOCAL_SHELL_H
#define WEIR_LOCAL_SHELL_H

#include "aws/aws.h"

/* An empty writer whose text never exceeds `max`; buf_free(&o->text) ends it. */
void aws_out_init(aws_out *o, aws_encoding encoding, size_t max);

#endif
