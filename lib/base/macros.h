#pragma once
/*
 * Attributes and the few macros that the whole tree may use.
 *
 * AUTO(fn) runs fn(&var) when the variable leaves its scope; STEAL hands the
 * value on and leaves NULL behind, so that a scope clean-up plus a steal
 * replaces most gotos.
 */
#include <stddef.h>
#include <stdint.h>

/* AUTO: a guard that is there for its cleanup alone counts as used; clang 14 needs to be told. */
/* A large buffer that a system call fills: zeroing it first (hardening) would cost more than the
 * call. */
#define UNFILLED                      __attribute__((uninitialized))
#define MUST_CHECK                    __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a)             __attribute__((format(printf, f, a)))
#define NORETURN                      __attribute__((noreturn))
#define AUTO(fn)                      __attribute__((cleanup(fn), unused))
#define ARRAY_LEN(a)                  (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))

/* Takes const away where a foreign interface forgot it; what stands there is not written. */
static inline void *unconst(const void *p)
{
    union {
        const void *in;
        void *out;
    } u = {.in = p};

    return u.out;
}

#define STEAL(p)                    \
    ({                              \
        __typeof__(p) steal_ = (p); \
        (p) = NULL;                 \
        steal_;                     \
    })

#define STEAL_FD(fd)          \
    ({                        \
        int steal_fd_ = (fd); \
        (fd) = -1;            \
        steal_fd_;            \
    })

/* Declares the pointer clean-up `fnp` for a destructor `fn` that takes NULL. */
/* NOLINTBEGIN(bugprone-macro-parentheses): a type */
#define DEFINE_AUTO(type, fn)            \
    static inline void fn##p(type **ptr) \
    {                                    \
        fn(*ptr);                        \
        *ptr = NULL;                     \
    }
/* NOLINTEND(bugprone-macro-parentheses) */

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)
