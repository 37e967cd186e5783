/* buffer.h - memory in which every access out of bounds is noticed.
 *
 * PAGES: behind the end of the buffer begins a page that nobody may access, so reading one byte
 * too many is a fault, without any tool. The bytes before the buffer are compared when it is
 * freed. At first it contains 0xFF bytes, which are NaN. An input can be made read only.
 * MALLOC: exactly the bytes asked for, not initialised, for AddressSanitizer and memcheck. */
#ifndef BUFFER_H
#define BUFFER_H

#include <stdlib.h>

#include "check.h"
#include "host.h"

enum { MEMORY_PAGES, MEMORY_MALLOC };

static int memory_kind = MEMORY_PAGES;

typedef struct buffer {
    void *data;
    size_t bytes;
    unsigned char *map; /* PAGES: the mapping, its first and last page forbidden */
    size_t map_bytes;
    int read_only;
} buffer;

/* Mappings that will be used again, because making new ones would take most of the time. */
enum { MOST_IDLE = 256, MOST_IDLE_BYTES = 4 << 20 };

static struct {
    unsigned char *map;
    size_t bytes;
} idle_maps[MOST_IDLE];

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

/* Memory between two forbidden pages. */
static unsigned char *map_new(size_t page, size_t bytes) {
    unsigned char *map;
    int i;
    for (i = 0; i < MOST_IDLE; i++) {
        if (idle_maps[i].map != NULL && idle_maps[i].bytes == bytes) {
            map = idle_maps[i].map;
            idle_maps[i].map = NULL;
            return map;
        }
    }
    map = host_map(bytes);
    if (map == NULL || !host_allow(map + page, bytes - 2 * page, 1)) {
        out_of_memory();
    }
    return map;
}

static void map_free(unsigned char *map, size_t bytes) {
    int i = 0;
    while (i < MOST_IDLE && idle_maps[i].map != NULL) {
        i++;
    }
    if (i < MOST_IDLE && bytes < MOST_IDLE_BYTES) {
        idle_maps[i].map = map;
        idle_maps[i].bytes = bytes;
    } else {
        host_unmap(map, bytes);
    }
}

/* `alignment` divides `bytes`, or is 1. */
static buffer buffer_aligned(int64_t bytes, size_t alignment) {
    const size_t page = host_page();
    buffer b = {NULL, (size_t)bytes, NULL, 0, 0};
    size_t inner;
    CHECK(b.bytes % alignment == 0);
    if (memory_kind == MEMORY_MALLOC) {
        const size_t least = b.bytes > 0 ? b.bytes : alignment;
        b.data = host_malloc(alignment, least);
        if (b.data == NULL) {
            out_of_memory();
        }
        return b;
    }
    inner = (b.bytes / page + 1) * page;
    b.map_bytes = inner + 2 * page;
    b.map = map_new(page, b.map_bytes);
    memset(b.map + page, 0xFF, inner);
    b.data = b.map + page + inner - b.bytes;
    return b;
}

static buffer buffer_new(int64_t bytes) { return buffer_aligned(bytes, 1); }

/* From here on a write is a fault (PAGES only). */
static void buffer_protect(buffer *b, int read_only) {
    const size_t page = host_page();
    if (b->map != NULL && b->read_only != read_only &&
        !host_allow(b->map + page, b->map_bytes - 2 * page, !read_only)) {
        out_of_memory();
    }
    b->read_only = read_only;
}

static void buffer_read_only(buffer *b) { buffer_protect(b, 1); }

static void buffer_free(buffer *b) {
    const size_t page = host_page();
    if (b->map == NULL) {
        host_free(b->data);
    } else {
        const unsigned char *at = b->map + page;
        while (at < (unsigned char *)b->data && *at == 0xFF) {
            at++;
        }
        CHECK(at == (unsigned char *)b->data); /* nothing was written before the buffer */
        buffer_protect(b, 0);
        map_free(b->map, b->map_bytes);
    }
    b->data = NULL;
}

#endif
