/* template_macros.h - what the templates need of a compiler beyond C11. */
#ifndef PYGRU_TEMPLATE_MACROS_H
#define PYGRU_TEMPLATE_MACROS_H

#if defined(_MSC_VER)
#define RESTRICT __restrict
#define ALWAYS_INLINE static __forceinline
#else
#define RESTRICT restrict
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))
#endif

/* Before a loop of a constant count whose arrays are to become registers. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define UNROLL _Pragma("GCC unroll 32")
#endif

/* Before a loop whose iterations touch disjoint elements although its pointers may be equal
 * (a state updated in place): the compiler may vectorise it without checking for overlap. */
#if defined(__clang__)
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define INDEPENDENT _Pragma("GCC ivdep")
#elif defined(_MSC_VER)
#define INDEPENDENT __pragma(loop(ivdep))
#else
#define INDEPENDENT
#endif

#endif
