/* host.h - what the test program needs of the operating system, beside the core's own system.h:
 * memory that nobody may access, and aligned memory. */
#ifndef HOST_H
#define HOST_H

#include <stddef.h>
#include <stdlib.h>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>

static size_t host_page(void) {
    SYSTEM_INFO system;
    GetSystemInfo(&system);
    return system.dwPageSize;
}

/* Whole pages that nobody may access; NULL if there is no memory. */
static unsigned char *host_map(size_t bytes) {
    return VirtualAlloc(NULL, bytes, MEM_RESERVE | MEM_COMMIT, PAGE_NOACCESS);
}

/* From now on they may be read, and written too. Returns 0 if the system refuses. */
static int host_allow(unsigned char *pages, size_t bytes, int writing) {
    DWORD before;
    return VirtualProtect(pages, bytes, writing ? PAGE_READWRITE : PAGE_READONLY, &before) != 0;
}

static void host_unmap(unsigned char *pages, size_t bytes) {
    (void)bytes;
    (void)VirtualFree(pages, 0, MEM_RELEASE);
}

/* Exactly so many bytes; a multiple of the alignment, or the alignment is 1. */
static void *host_malloc(size_t alignment, size_t bytes) {
    return _aligned_malloc(bytes, alignment);
}

static void host_free(void *memory) { _aligned_free(memory); }

#else
#include <sys/mman.h>
#include <unistd.h>

static size_t host_page(void) { return (size_t)sysconf(_SC_PAGESIZE); }

static unsigned char *host_map(size_t bytes) {
    void *pages = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return pages == MAP_FAILED ? NULL : pages;
}

static int host_allow(unsigned char *pages, size_t bytes, int writing) {
    return mprotect(pages, bytes, writing ? PROT_READ | PROT_WRITE : PROT_READ) == 0;
}

static void host_unmap(unsigned char *pages, size_t bytes) { (void)munmap(pages, bytes); }

static void *host_malloc(size_t alignment, size_t bytes) {
    return alignment == 1 ? malloc(bytes) : aligned_alloc(alignment, bytes);
}

static void host_free(void *memory) { free(memory); }

#endif
#endif
