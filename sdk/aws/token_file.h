/*
 * sdk/aws/token_file.h - a file that holds one token: of a web identity, of a container's service.
 * Whoever mounts such a file replaces the token well before its end, so that it is read anew for
 * each request. Internal.
 */
#ifndef WEIR_AWS_TOKEN_FILE_H
#define WEIR_AWS_TOKEN_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "text.h"

/* No longer one is read: STS takes 20,000 characters, and of a header more is nobody's token. */
#define TOKEN_FILE_MAX 20000u

/* Appends the token without the white space behind it. False with what is wrong in `words` ("cannot
 * be read: No such file or directory"), or with out->failed without memory. */
bool token_file_read(text *out, const char *path, text *words);

#endif
