/* stream.c - a C program that runs a GRU without Python: for each input vector that it reads it
 * writes one output vector.
 *
 * The commands below write random weights to a file, compile this program together with the
 * core, and run it. Inputs and outputs are raw float32 numbers:
 *
 *   python export.py weights.bin 3 16
 *   INCLUDE=$(python -c "import pygru; print(pygru.get_include())")
 *   SOURCES=$(python -c "import pygru; print(*pygru.get_sources())")
 *   cc -O2 -ffp-contract=off -I$INCLUDE stream.c $SOURCES -lm -lpthread -o stream
 *   ./stream weights.bin < inputs.bin > outputs.bin
 *
 * All memory is allocated before the loop. The loop itself allocates nothing, takes no lock,
 * and the call of the core in it cannot fail. */
#include <stdio.h>
#include <stdlib.h>

#include "pygru.h"

static void fail(const char *what) {
    fprintf(stderr, "stream: %s\n", what);
    exit(1);
}

static void *bytes(int64_t n) {
    /* 64-byte aligned, as packed weights must be; sizes are rounded up as C11 wants it */
    void *memory = aligned_alloc(64, ((size_t)n + 63) / 64 * 64);
    if (memory == NULL) {
        fail("out of memory");
    }
    return memory;
}

static float *floats(int64_t n) { return bytes(n * (int64_t)sizeof(float)); }

/* Every call of the core says whether it has done what it was asked. */
static void check(pygru_status status) {
    if (status != PYGRU_OK) {
        fail(pygru_status_text(status));
    }
}

int main(int argc, char **argv) {
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    int64_t sizes[7], n_parameters, n_packed, n_workspace, n_states, i;
    double numbers[5];
    pygru_config config = {0};
    pygru_cell last;
    pygru_step_args step = {0};
    float *parameters, *x, *h;
    void *packed;
    if (file == NULL || fread(sizes, sizeof sizes[0], 7, file) != 7 ||
        fread(numbers, sizeof numbers[0], 5, file) != 5) {
        fail("usage: stream weights.bin < inputs > outputs");
    }
    config.input_size = sizes[0];
    config.hidden_size = sizes[1];
    config.num_layers = sizes[2];
    config.num_directions = 1;
    config.precision = PYGRU_FLOAT32;
    config.has_bias = 1;
    config.reset = (int32_t)sizes[3];
    config.update = (int32_t)sizes[4];
    config.activation.function = (int32_t)sizes[5];
    config.activation.alpha = numbers[0];
    config.activation.beta = numbers[1];
    config.recurrent_activation.function = (int32_t)sizes[6];
    config.recurrent_activation.alpha = numbers[2];
    config.recurrent_activation.beta = numbers[3];
    config.clip = numbers[4];
    if (pygru_cell_of(&config, config.num_layers - 1, 0, &last) != PYGRU_OK ||
        pygru_packed_size(&config, &n_packed) != PYGRU_OK ||
        pygru_step_workspace(&config, 1, &n_workspace) != PYGRU_OK) {
        fail("the file does not describe a GRU");
    }
    n_parameters = last.end;
    n_states = config.num_layers * config.hidden_size;
    parameters = floats(n_parameters);
    packed = bytes(n_packed);
    x = floats(config.input_size);
    h = floats(n_states);
    if (fread(parameters, sizeof(float), (size_t)n_parameters, file) != (size_t)n_parameters) {
        fail("the file is too short");
    }
    (void)fclose(file);
    check(pygru_pack(&config, NULL, parameters, packed));
    for (i = 0; i < n_states; i++) {
        h[i] = 0;
    }

    step.config = &config;
    step.packed = packed;
    step.B = 1;
    step.x = x;
    step.h = h;
    step.h_next = h;
    step.workspace = bytes(n_workspace);
    step.workspace_bytes = n_workspace;
    while (fread(x, sizeof(float), (size_t)config.input_size, stdin) ==
           (size_t)config.input_size) {
        check(pygru_step(&step));
        (void)fwrite(h + n_states - config.hidden_size, sizeof(float),
                     (size_t)config.hidden_size, stdout);
    }
    free(parameters);
    free(packed);
    free(x);
    free(h);
    free(step.workspace);
    return 0;
}
