/* float_environment.h - floating-point states that a caller of the core may have, and a check
 * that a call has not changed them: rounding, traps, exception flags, denormals. */
#ifndef FLOAT_ENVIRONMENT_H
#define FLOAT_ENVIRONMENT_H

#include <fenv.h>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

#include "check.h"

enum {
    STATE_AS_IS,
    STATE_ROUNDS_UP,
    STATE_ROUNDS_DOWN,
    STATE_ROUNDS_TO_ZERO,
    STATE_FLAGS_RAISED,
    STATE_TRAPS, /* every exception is fatal: for a forked child */
    N_STATES
};

typedef struct caller_state {
    fenv_t before;
#if defined(__SSE2__)
    unsigned sse_before; /* which MinGW's fenv_t may lack */
#endif
    uint64_t inside;
} caller_state;

/* Everything that the core could change. */
static uint64_t float_environment(void) {
#if defined(__SSE2__)
    return _mm_getcsr();
#elif defined(__aarch64__)
    uint64_t control, flags;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    __asm__ volatile("mrs %0, fpsr" : "=r"(flags));
    return control << 32 | (flags & UINT32_MAX);
#else
    return (uint64_t)fegetround() << 32 | (uint64_t)fetestexcept(FE_ALL_EXCEPT);
#endif
}

/* Not inlined, so that the compiler moves no arithmetic of the caller across the change. */
__attribute__((noinline)) static caller_state enter_state(int state) {
    static const int rounding[] = {[STATE_ROUNDS_UP] = FE_UPWARD,
                                   [STATE_ROUNDS_DOWN] = FE_DOWNWARD,
                                   [STATE_ROUNDS_TO_ZERO] = FE_TOWARDZERO};
    caller_state s;
    (void)fegetenv(&s.before);
#if defined(__SSE2__)
    s.sse_before = _mm_getcsr();
#endif
    if (state != STATE_AS_IS) { /* so that the check notices an inexact result of the core */
        (void)feclearexcept(FE_ALL_EXCEPT);
    }
    if (state >= STATE_ROUNDS_UP && state <= STATE_ROUNDS_TO_ZERO) {
        (void)fesetround(rounding[state]);
    } else if (state == STATE_FLAGS_RAISED) {
        (void)feraiseexcept(FE_OVERFLOW | FE_DIVBYZERO | FE_INVALID);
    } else if (state == STATE_TRAPS) {
#if defined(__SSE2__)
        _mm_setcsr(0);
#endif
    }
    s.inside = float_environment();
    return s;
}

/* Whether the state is still the one that was entered. Restores the one before. */
__attribute__((noinline)) static int leave_state(const caller_state *s) {
    const int same = float_environment() == s->inside;
    (void)fesetenv(&s->before);
#if defined(__SSE2__)
    _mm_setcsr(s->sse_before);
#endif
    return same;
}

/* Whether denormals can be flushed to zero at all. Under valgrind, for example, they cannot. */
static int denormals_can_be_flushed(void) {
#if defined(__SSE2__)
    const unsigned before = _mm_getcsr();
    int can;
    _mm_setcsr(before | 0x8040);
    can = (_mm_getcsr() & 0x8040) == 0x8040;
    _mm_setcsr(before);
    return can;
#elif defined(__aarch64__)
    return 1;
#else
    return 0;
#endif
}

#endif
