/* atomics.h - reading and writing numbers that threads share. */
#ifndef PYGRU_ATOMICS_H
#define PYGRU_ATOMICS_H

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#define LOAD32(p) _InterlockedOr((volatile long *)(p), 0)
#define STORE32(p, v) _InterlockedExchange((volatile long *)(p), (v))
#define LOAD64(p) _InterlockedOr64((p), 0)
#define STORE64(p, v) _InterlockedExchange64((p), (v))
#define ADD64(p, v) _InterlockedExchangeAdd64((p), (v))
#else
#define LOAD32(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define STORE32(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define LOAD64(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define STORE64(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define ADD64(p, v) __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL)
#endif

#endif
