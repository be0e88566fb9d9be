#pragma once
/* cmocka with the headers that it needs, in their order (clang-format must not sort these). */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
/* clang-format on */

#include "lib/base/slice.h"

#define assert_slice(actual, expected)                                    \
    do {                                                                  \
        struct slice actual_ = (actual), expected_ = slice_str(expected); \
        assert_int_equal(actual_.n, expected_.n);                         \
        if (actual_.n) {                                                  \
            assert_memory_equal(actual_.p, expected_.p, expected_.n);     \
        }                                                                 \
    } while (0)
