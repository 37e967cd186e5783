/* hashes.h - hashes of the results of fixed problems. They are stored in hashes.txt and are the
 * same on every machine, whatever compiler, system and kind of threads the core is built with.
 *
 * Each line of hashes.txt has the number of a case, its hash with a fused multiply-add and its
 * hash without. "test_core hashes" prints such a file. */
#ifndef HASHES_H
#define HASHES_H

#include "quantized_checks.h"

enum {
    HASHED_NETWORKS = 128, /* of the SIMD engine, as the bits of the number say */
    HASHED_CELLS = 32,     /* with other activations */
    HASHED_INTEGERS = 16,  /* with weights of 8 bits */
    HASHED_BLAS = 16,      /* of the BLAS engine, with the BLAS of the tests */
    HASHED_CASES = HASHED_NETWORKS + HASHED_CELLS + HASHED_INTEGERS + HASHED_BLAS
};

typedef struct hashed_case {
    problem p;
    const precision *kind;
    options o; /* without the kernels */
} hashed_case;

/* Every number is used: the kinds of cases follow one another in the order of the enum above. */
static hashed_case hashed_case_new(int number) {
    const int n = number % HASHED_NETWORKS;
    const int blas = number >= HASHED_CASES - HASHED_BLAS;
    const int integers = number >= HASHED_NETWORKS + HASHED_CELLS && !blas;
    const int noise = n / 5 % 3 == 0 ? n % 8 : NO_NOISE;
    pygru_config c = nth_model(n & 3, 5, 33, 1 + (n >> 2 & 1), 1 + (n >> 3 & 1));
    hashed_case h;
    c.has_bias = n % 5 != 0;
    c.norm_eps = n >> 6 & 1 ? 0.1 : 0;
    if (number >= HASHED_NETWORKS && number < HASHED_NETWORKS + HASHED_CELLS) {
        choose_activations(n, &c);
    }
    random_state =
        7 + (uint64_t)number; /* the same problem, whatever the seed of the program */
    h.p = problem_new(&c, 6, 20, n >> 5 & 1 || n % 7 == 0, noise);
    h.kind = integers ? &quantized_precision : &precisions[n >> 4 & 1];
    h.o = plain_options;
    h.o.engine = blas ? PYGRU_ENGINE_BLAS : PYGRU_ENGINE_SIMD;
    h.o.keep = integers    ? PYGRU_KEEP_NOTHING
               : n / 3 % 2 ? PYGRU_KEEP_GATES
                           : PYGRU_KEEP_OUTPUTS;
    h.o.n_threads = 1 + n % 3;
    h.o.threading = n % 2 == 0 ? PYGRU_POOL : PYGRU_OPENMP;
    return h;
}

/* Goes on with a hash (FNV-1a, of 64 bits at a time) over n numbers. */
static uint64_t hash_of(uint64_t hash, int64_t n, const double *numbers) {
    int64_t i;
    for (i = 0; numbers != NULL && i < n; i++) {
        uint64_t bits;
        memcpy(&bits, &numbers[i], sizeof bits);
        hash = (hash ^ bits) * UINT64_C(0x100000001b3);
        hash ^= hash >> 29; /* so that high bits reach low ones */
    }
    return hash;
}

/* Of all results of a case that a caller sees. */
static uint64_t hash_of_case(int number, const kernel_set *set) {
    hashed_case h = hashed_case_new(number);
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    results r;
    h.o.kernels = set->kernels;
    describe(&h.p, h.kind, &h.o, "the stored hash");
    h.kind->run(&h.p, &h.o, &r);
    CHECK_INT(r.forward, PYGRU_OK);
    hash = hash_of(hash, h.p.n_y, r.y);
    hash = hash_of(hash, h.p.n_states, r.h_n);
    if (h.o.keep != PYGRU_KEEP_NOTHING) {
        CHECK_INT(r.backward, PYGRU_OK);
        hash = hash_of(hash, h.p.n_x, r.d_x);
        hash = hash_of(hash, h.p.n_states, r.d_h0);
        hash = hash_of(hash, h.p.n_parameters, r.grads);
    }
    results_free(&r);
    problem_free(&h.p);
    return hash;
}

/* A new hashes.txt; needs a CPU with a fused multiply-add. Returns the exit status. */
static int print_hashes(void) {
    const kernel_set *fused = first_of_family(1), *other = first_of_family(0);
    int n;
    for (n = 0; fused != NULL && n < HASHED_CASES; n++) {
        printf("%d %016llx %016llx\n", n, (unsigned long long)hash_of_case(n, fused),
               (unsigned long long)hash_of_case(n, other));
    }
    return fused == NULL || checks_failed > 0;
}

/* With every set of kernels, the hashes of the file. */
static void check_hashes(const char *name, int quick) {
    FILE *file = fopen(name, "r");
    int n, set, equal = 0, compared = 0;
    set_case("hashes of %s", name);
    CHECK(file != NULL);
    for (n = 0; file != NULL && n < HASHED_CASES; n++) {
        unsigned long long expected[2] = {0, 0};
        int number = -1;
        CHECK_INT(fscanf(file, "%d %llx %llx", &number, &expected[1], &expected[0]), 3);
        CHECK_INT(number, n);
        if (n % (quick ? 5 : every) != 0) {
            continue;
        }
        for (set = 0; set < n_kernel_sets; set++) {
            const uint64_t hash = hash_of_case(n, &kernel_sets[set]);
            const int same = hash == expected[kernel_sets[set].fused];
            CHECK(same);
            equal += same;
            compared++;
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    printf("%d of %d hashes are equal\n", equal, compared);
}

#endif
