/* float_state.h - the floating-point state in which the core computes, on each of its threads.
 *
 * It rounds to nearest, traps no exceptions, and treats denormals as zero. On some CPUs an
 * operation on a denormal takes a hundred cycles, and a state that decays or a gradient that
 * vanishes would consist of denormals for a while. Afterwards the state of the caller is
 * restored, including its flags. */
#ifndef PYGRU_FLOAT_STATE_H
#define PYGRU_FLOAT_STATE_H

#include <stdint.h>

#if defined(__SSE2__) || defined(_M_X64)
#include <xmmintrin.h>

/* MXCSR: all exceptions masked (0x1F80), flush to zero (0x8000), denormals are zero (0x40). */
static inline uint64_t pygru_enter_float_state(void) {
    const uint64_t before = _mm_getcsr();
    _mm_setcsr(0x1F80 | 0x8000 | 0x40);
    return before;
}

static inline void pygru_leave_float_state(uint64_t before) { _mm_setcsr((uint32_t)before); }

#elif defined(__aarch64__) && (defined(__GNUC__) || defined(__clang__))

/* FPCR: bit 24 flushes denormals. The flags in FPSR are also saved and restored. */
static inline uint64_t pygru_enter_float_state(void) {
    uint64_t control, flags;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    __asm__ volatile("mrs %0, fpsr" : "=r"(flags));
    __asm__ volatile("msr fpcr, %0" : : "r"(UINT64_C(1) << 24));
    return control << 32 | (flags & UINT32_MAX);
}

static inline void pygru_leave_float_state(uint64_t before) {
    __asm__ volatile("msr fpcr, %0" : : "r"(before >> 32));
    __asm__ volatile("msr fpsr, %0" : : "r"(before & UINT32_MAX));
}

#elif defined(_M_ARM64)
#include <intrin.h>

/* The same for MSVC. */
#define PYGRU_FPCR ARM64_SYSREG(3, 3, 4, 4, 0)
#define PYGRU_FPSR ARM64_SYSREG(3, 3, 4, 4, 1)

static inline uint64_t pygru_enter_float_state(void) {
    const uint64_t control = (uint64_t)_ReadStatusReg(PYGRU_FPCR);
    const uint64_t flags = (uint64_t)_ReadStatusReg(PYGRU_FPSR);
    _WriteStatusReg(PYGRU_FPCR, INT64_C(1) << 24);
    return control << 32 | (flags & UINT32_MAX);
}

static inline void pygru_leave_float_state(uint64_t before) {
    _WriteStatusReg(PYGRU_FPCR, (int64_t)(before >> 32));
    _WriteStatusReg(PYGRU_FPSR, (int64_t)(before & UINT32_MAX));
}

#else

static inline uint64_t pygru_enter_float_state(void) { return 0; }

static inline void pygru_leave_float_state(uint64_t before) { (void)before; }

#endif
#endif
