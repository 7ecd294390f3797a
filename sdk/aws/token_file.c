#include "token_file.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

bool token_file_read(text *out, const char *path, text *words) {
    char token[TOKEN_FILE_MAX + 2]; /* one more than may be, and a line end */
    FILE *file = fopen(path, "rbe");
    size_t n = 0;
    int error = errno;
    if (file) {
        setvbuf(file, NULL, _IONBF, 0); /* a buffer would keep the token in freed memory */
        n = fread(token, 1, sizeof token, file);
        error = ferror(file) ? errno : 0;
        fclose(file);
    }
    while (n > 0 && strchr(" \t\r\n", token[n - 1])) n--;
    bool clean = true;
    for (size_t i = 0; i < n; i++) clean = clean && (token[i] & 0x80) == 0 && token[i] >= ' ';
    if (!file || error)
        text_add_f(words, "cannot be read: %s", strerror(error));
    else if (n == 0)
        text_add_z(words, "is empty");
    else if (n > TOKEN_FILE_MAX)
        text_add_z(words, "is longer than 20,000 bytes");
    else if (!clean)
        text_add_z(words, "is not one line of plain text");
    else
        text_add(out, token, n);
    bool ok = file && error == 0 && n > 0 && n <= TOKEN_FILE_MAX && clean && !out->failed;
    OPENSSL_cleanse(token, sizeof token);
    return ok;
}
