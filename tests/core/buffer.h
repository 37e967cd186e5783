/* buffer.h - memory in which no access out of bounds goes unnoticed.
 *
 * PAGES: the buffer ends where a page begins that nobody may touch, so reading one byte too
 * many is a fault without any tool; the bytes before it are compared when it is freed; it
 * begins as 0xFF bytes, which are NaN; an input can be made read only.
 * MALLOC: exactly the bytes asked for, not initialised, for AddressSanitizer and memcheck. */
#ifndef BUFFER_H
#define BUFFER_H

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

enum { MEMORY_PAGES, MEMORY_MALLOC };

static int memory_kind = MEMORY_PAGES;

typedef struct buffer {
    void *data;
    size_t bytes;
    unsigned char *map; /* PAGES: the mapping, its first and last page forbidden */
    size_t map_bytes;
} buffer;

static void out_of_memory(void) {
    fprintf(stderr, "test_core: out of memory\n");
    exit(2);
}

/* Plain memory for the test's own arrays. */
static void *allocate(int64_t n, size_t size) {
    void *memory = calloc(n > 0 ? (size_t)n : 1, size);
    if (memory == NULL) {
        out_of_memory();
    }
    return memory;
}

static double *doubles(int64_t n) { return allocate(n, sizeof(double)); }

static buffer buffer_new(int64_t bytes) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    buffer b = {NULL, (size_t)bytes, NULL, 0};
    size_t inner;
    if (memory_kind == MEMORY_MALLOC) {
        b.data = malloc(b.bytes > 0 ? b.bytes : 1);
        if (b.data == NULL) {
            out_of_memory();
        }
        return b;
    }
    inner = (b.bytes / page + 1) * page;
    b.map_bytes = inner + 2 * page;
    b.map = mmap(NULL, b.map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b.map == MAP_FAILED || mprotect(b.map + page, inner, PROT_READ | PROT_WRITE) != 0) {
        out_of_memory();
    }
    memset(b.map + page, 0xFF, inner);
    b.data = b.map + page + inner - b.bytes;
    return b;
}

/* From here on a write is a fault (PAGES only). */
static void buffer_read_only(const buffer *b) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (b->map != NULL && mprotect(b->map + page, b->map_bytes - 2 * page, PROT_READ) != 0) {
        out_of_memory();
    }
}

static void buffer_free(buffer *b) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (b->map == NULL) {
        free(b->data);
    } else {
        const unsigned char *at = b->map + page;
        while (at < (unsigned char *)b->data && *at == 0xFF) {
            at++;
        }
        CHECK(at == (unsigned char *)b->data); /* nothing was written before the buffer */
        (void)munmap(b->map, b->map_bytes);
    }
    b->data = NULL;
}

#endif
