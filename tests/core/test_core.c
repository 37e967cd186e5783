/* test_core.c - the tests of the C core, without Python and with a BLAS of their own.
 *
 * It compares the core with a GRU written in plain loops, its gradients with differences, and
 * every way to run a problem with the others. It provokes each error. All memory is placed
 * where an access out of bounds is a fault. It prints one line, and exits with 1 if a check
 * failed.
 *
 * Usage: test_core [calls] [hashes] [quick] [malloc] [third] [seed=N] [hashes=FILE]
 * (run.sh builds and runs it)
 *   calls   prints the public calls that are tried with bad arguments, and does nothing else
 *   hashes  prints a new hashes.txt, and does nothing else; hashes.h says what it is
 *   quick   a small part of everything, for valgrind
 *   malloc  buffers from malloc instead of guarded pages, for the sanitizers and valgrind
 *   third   only every third case of the long loops
 *   seed=N  another sequence of random numbers
 *   hashes=FILE  compares the results with the hashes of this file, and does nothing else */
#define _GNU_SOURCE /* MAP_ANONYMOUS */

#include <signal.h>
#include <unistd.h>

#include "check.h"
#include "cpu_checks.h"
#include "every_call.h"
#include "float_checks.h"
#include "hashes.h"
#include "look_checks.h"
#include "network_checks.h"
#include "pool_checks.h"
#include "quantized_checks.h"
#include "same_bits.h"
#include "scratch_checks.h"
#include "shape_checks.h"
#include "stopping_checks.h"

/* The core's documented accuracy. */
#define MAX_ULPS 2.0

static void check_activations(int quick) {
    int k, set;
    for (k = 0; k < N_PRECISIONS; k++) {
        const precision *kind = &precisions[k];
        for (set = 0; set < n_kernel_sets; set++) {
            set_case("special values of the activations, %s, %s", kind->name,
                     kernel_sets[set].name);
            kind->check_special_values(&kernel_sets[set]);
            kind->check_every_length(&kernel_sets[set]);
        }
        /* valgrind computes long double in 64 bits, which is not exact enough for float64 */
        if (!quick || kind->precision == PYGRU_FLOAT32) {
            const worst_error worst = kind->sweep_activations(quick ? 1000003 : 1999);
            set_case("error of the activations, %s", kind->name);
            CHECK_NEAR(worst.sigmoid, 0, MAX_ULPS);
            CHECK_NEAR(worst.tanh, 0, MAX_ULPS);
            printf("%s: sigmoid %.3f ulp at %a, tanh %.3f ulp at %a\n", kind->name,
                   worst.sigmoid, worst.sigmoid_at, worst.tanh, worst.tanh_at);
        }
    }
}

static void check_products(int quick) {
    int k, set;
    for (k = 0; k < N_PRECISIONS; k++) {
        for (set = 0; set < n_kernel_sets; set++) {
            precisions[k].check_products(&kernel_sets[set], quick);
            precisions[k].check_packing(&kernel_sets[set], quick);
            precisions[k].check_sums(&kernel_sets[set], quick);
        }
    }
}

/* With guarded pages a fault is a finding. Print in which case it happened. */
static void report_fault(int number) {
    static const char text[] = "test_core: an access out of bounds (SIGSEGV), case: ";
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    (void)!write(STDERR_FILENO, check_case, (unsigned)strlen(check_case));
    (void)!write(STDERR_FILENO, "\n", 1);
    _exit(128 + number);
}

/* Runs one group of checks and prints how long it took. */
#define RUN(group)                                                                             \
    do {                                                                                       \
        const double begin = milliseconds_now();                                               \
        random_state = random_seed;                                                            \
        group;                                                                                 \
        printf("%6.2f s  %s\n", (milliseconds_now() - begin) / 1e3, #group);                   \
        (void)fflush(stdout);                                                                  \
    } while (0)

/* Returns the exit status. */
static int print_counts(void) {
    printf("%ld passed, %ld failed\n", checks_passed, checks_failed);
    return checks_failed > 0;
}

int main(int argc, char **argv) {
    const char *hashes = NULL;
    int quick = 0, i, k;
    find_kernel_sets();
    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "quick") == 0) {
            quick = 1;
        } else if (strcmp(argv[i], "malloc") == 0) {
            memory_kind = MEMORY_MALLOC;
        } else if (strcmp(argv[i], "third") == 0) {
            every = 3;
        } else if (strcmp(argv[i], "calls") == 0) {
            print_every_call();
            return 0;
        } else if (strcmp(argv[i], "hashes") == 0) {
            return print_hashes();
        } else if (strncmp(argv[i], "hashes=", 7) == 0) {
            hashes = argv[i] + 7;
        } else if (strncmp(argv[i], "seed=", 5) == 0) {
            random_seed = strtoull(argv[i] + 5, NULL, 10) | 1;
        } else {
            fprintf(stderr, "usage: test_core [calls] [hashes] [quick] [malloc] [third] "
                            "[seed=N] [hashes=FILE]\n");
            return 2;
        }
    }
    if (memory_kind == MEMORY_PAGES) {
        (void)signal(SIGSEGV, report_fault);
#if defined(SIGBUS)
        (void)signal(SIGBUS, report_fault);
#endif
    }
    printf("kernels:");
    for (k = 0; k < n_kernel_sets; k++) {
        printf("%s %s", k == 0 ? "" : ",", kernel_sets[k].name);
    }
    printf("\ncore by %s, OpenMP %d, seed %llu\n", pygru_compiler(),
           (int)pygru_openmp_version(), (unsigned long long)random_seed);
    if (hashes != NULL) {
        RUN(check_hashes(hashes, quick));
        return print_counts();
    }
    RUN(check_status_texts());
    RUN(check_fingerprint());
    RUN(check_pool());
    RUN(check_worth());
    RUN(check_held_up_calls_run_alone());
    RUN(check_activations(quick));
    RUN(check_products(quick));
    RUN(check_batches(quick));
    RUN(check_split(quick));
    RUN(check_all_combinations(quick));
    RUN(check_quantized(quick));
    RUN(check_noise(quick));
    RUN(check_norm(quick));
    RUN(check_other_cells(quick));
    if (!quick) {
        RUN(check_large());
        RUN(check_looks());
    }
    RUN(check_null_is_zero());
    RUN(check_steps(quick));
    RUN(check_float_state());
    RUN(check_decay());
    RUN(check_stopping());
    RUN(check_forked_child());
    RUN(check_scratch_layouts(quick));
    RUN(check_huge_models());
    RUN(check_huge_batches());
    for (k = 0; k < N_PRECISIONS; k++) {
        RUN(precisions[k].check_bad_calls());
    }
    RUN(check_every_call());
    RUN(check_tape_views());
    RUN(check_bad_batches());
    RUN(check_bad_configs());
    RUN(check_cpus());
    return print_counts();
}
