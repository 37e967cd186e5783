/* template_macros.h - the features of compilers beyond C11 that the templates need. */
#ifndef PYGRU_TEMPLATE_MACROS_H
#define PYGRU_TEMPLATE_MACROS_H

#if defined(_MSC_VER)
#define RESTRICT __restrict
#define ALWAYS_INLINE static __forceinline
#define NOINLINE __declspec(noinline)
#else
#define RESTRICT restrict
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))
#endif

/* For a loop with a constant count, whose arrays should become registers. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define UNROLL _Pragma("GCC unroll 32")
#else
#define UNROLL
#endif

/* For a loop whose iterations use different elements, although its pointers may be equal, as
 * when a state is updated in place. The compiler may vectorise it without an overlap check.
 * clang must not unroll it, because it would do so before it looks for vectors. gcc must not
 * either: the baseline kernels were a third larger, and slower. */
#if defined(__clang__)
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety) unroll(disable)")
#elif defined(__GNUC__)
#define INDEPENDENT _Pragma("GCC ivdep") _Pragma("GCC unroll 1")
#elif defined(_MSC_VER)
#define INDEPENDENT __pragma(loop(ivdep))
#else
#define INDEPENDENT
#endif

#endif
