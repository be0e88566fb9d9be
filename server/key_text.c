/* Making the text of a key. */
#include "server/key_text.h"

#include "lib/base/secret.h"
#include "lib/base/text.h"

enum { ID_CHARS = 20, SECRET_CHARS_OF_KEY = 32 };

uint32_t key_text_crc(struct slice text)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < text.n; i++) {
        crc ^= (uint8_t)text.p[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
        }
    }
    return ~crc;
}

void key_text_make(const char *kind, char out_id[STORE_ID_SIZE], char out_text[KEY_TEXT_SIZE])
{
    char secret[SECRET_CHARS_OF_KEY + 1], head[KEY_TEXT_SIZE];
    secret_id(out_id, ID_CHARS);
    secret_id(secret, SECRET_CHARS_OF_KEY);
    text_fit(head, sizeof head, "fnl-%s-%s-%s", kind, out_id, secret);
    text_fit(out_text, KEY_TEXT_SIZE, "%.80s%08x", head, key_text_crc(slice_str(head)));
    secret_wipe(secret, sizeof secret);
    secret_wipe(head, sizeof head);
}
