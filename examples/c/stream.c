/* stream.c - a C program that runs a GRU without Python: for each input vector that it reads it
 * writes one output vector.
 *
 * The commands below write random weights to a file, compile this program together with the
 * core, and run it. Inputs and outputs are raw float32 numbers:
 *
 *   python export.py weights.bin 3 16
 *   INCLUDE=$(python -c "import pygru; print(pygru.get_include())")
 *   SOURCES=$(python -c "import pygru; print(*pygru.get_sources())")
 *   cc -std=c11 -O2 -ffp-contract=off -I$INCLUDE stream.c $SOURCES -lm -lpthread -o stream
 *   ./stream weights.bin < inputs.bin > outputs.bin
 *
 * All memory is allocated before the loop. The loop itself allocates nothing, takes no lock,
 * and the call of the core in it cannot fail. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pygru.h"

#ifdef _WIN32 /* where standard input and output are texts, unless a program says otherwise */
#include <fcntl.h>
#include <io.h>
static void make_binary(FILE *stream) { (void)_setmode(_fileno(stream), _O_BINARY); }
#else
static void make_binary(FILE *stream) { (void)stream; }
#endif

/* Ends the program with a message and the exit code 1. */
_Noreturn static void fail(const char *format, ...) {
    va_list values;
    fputs("stream: ", stderr);
    va_start(values, format);
    vfprintf(stderr, format, values);
    va_end(values);
    fputc('\n', stderr);
    exit(1);
}

/* ---- the file of weights ---------------------------------------------------------------- */

/* A file that export.py has written, and its name for messages. */
typedef struct Weights {
    FILE *file;
    const char *path;
} Weights;

static Weights open_weights(const char *path) {
    Weights weights = {fopen(path, "rb"), path};
    if (weights.file == NULL) {
        fail("%s: %s", path, strerror(errno));
    }
    return weights;
}

/* The next whole number. It is looked at before it becomes a narrower type. */
static int32_t whole(Weights from, const char *what, int32_t least, int32_t most) {
    int64_t value;
    if (fread(&value, sizeof value, 1, from.file) != 1) {
        fail("%s: the file ends before %s", from.path, what);
    }
    if (value < least || value > most) {
        fail("%s: %s must be from %" PRId32 " to %" PRId32 ", got %" PRId64, from.path, what,
             least, most, value);
    }
    return (int32_t)value;
}

/* The next real number; NaN is in no range. */
static double real(Weights from, const char *what, double least, double most) {
    double value;
    if (fread(&value, sizeof value, 1, from.file) != 1) {
        fail("%s: the file ends before %s", from.path, what);
    }
    if (!(value >= least && value <= most)) {
        fail("%s: %s must be from %g to %g, got %g", from.path, what, least, most, value);
    }
    return value;
}

static pygru_config read_config(Weights from) {
    const int32_t last = PYGRU_ACTIVATIONS_END_ - 1;
    pygru_config config = {0};
    config.input_size = whole(from, "the input size", 1, INT32_MAX);
    config.hidden_size = whole(from, "the hidden size", 1, INT32_MAX);
    config.num_layers = whole(from, "the number of layers", 1, INT32_MAX);
    config.num_directions = 1;
    config.precision = PYGRU_FLOAT32;
    config.has_bias = 1;
    config.reset = whole(from, "the variant of the reset gate", 0, 1);
    config.update = whole(from, "the variant of the update gate", 0, 1);
    config.activation.function = whole(from, "the activation", 0, last);
    config.recurrent_activation.function = whole(from, "the recurrent activation", 0, last);
    config.activation.alpha = real(from, "alpha of the activation", -1e30, 1e30);
    config.activation.beta = real(from, "beta of the activation", -1e30, 1e30);
    config.recurrent_activation.alpha =
        real(from, "alpha of the recurrent activation", -1e30, 1e30);
    config.recurrent_activation.beta =
        real(from, "beta of the recurrent activation", -1e30, 1e30);
    config.clip = real(from, "the limit of the sums", 0, 1e30);
    return config;
}

/* Every call of the core says whether it has done what it was asked. */
static void check(const char *path, pygru_status status) {
    if (status != PYGRU_OK) {
        fail("%s: %s", path, pygru_status_text((int)status));
    }
}

/* ---- memory ----------------------------------------------------------------------------- */

enum { ALIGNMENT = 64 }; /* of packed weights; malloc promises less */

/* The bytes of n elements, rounded up so that what follows is aligned. A sum of some of them
 * fits into size_t. */
static size_t room(int64_t n, size_t element) {
    if (n < 0 || (uint64_t)n > SIZE_MAX / 16 / element) {
        fail("this GRU is too large for this machine");
    }
    return ((size_t)n * element + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static char *allocate(size_t bytes) {
    char *memory = malloc(bytes);
    if (memory == NULL) {
        fail("out of memory: %zu bytes are needed", bytes);
    }
    return memory;
}

/* The first aligned address in a block that has ALIGNMENT bytes more than it needs. */
static char *aligned(char *block) {
    return block + (ALIGNMENT - (uintptr_t)block % ALIGNMENT) % ALIGNMENT;
}

/* Reads the parameters into memory of their own, and packs them. */
static void pack(Weights from, const pygru_config *config, int64_t n_parameters, void *packed) {
    char *parameters = allocate(room(n_parameters, sizeof(float)));
    const size_t found = fread(parameters, sizeof(float), (size_t)n_parameters, from.file);
    if (found != (size_t)n_parameters) {
        fail("%s: the file is too short: %" PRId64 " parameters are needed, it has %zu",
             from.path, n_parameters, found);
    }
    if (fgetc(from.file) != EOF) {
        fail("%s: the file has more than the %" PRId64 " parameters of this GRU", from.path,
             n_parameters);
    }
    check(from.path, pygru_pack(config, NULL, parameters, packed));
    free(parameters);
}

/* ---- the loop --------------------------------------------------------------------------- */

/* Reads inputs, and writes the state of the last layer after each of them. */
static void run(const pygru_step_args *step, void *x) {
    const pygru_config *config = step->config;
    const size_t in_bytes = (size_t)config->input_size * sizeof(float);
    const size_t H = (size_t)config->hidden_size;
    const float *output = (const float *)step->h_next + (size_t)(config->num_layers - 1) * H;
    size_t found;
    while ((found = fread(x, 1, in_bytes, stdin)) == in_bytes) {
        check("step", pygru_step(step));
        if (fwrite(output, sizeof(float), H, stdout) != H) {
            fail("the output cannot be written: %s", strerror(errno));
        }
    }
    if (ferror(stdin)) {
        fail("the input cannot be read: %s", strerror(errno));
    }
    if (found != 0) {
        fail("the input ends within a vector: %zu bytes are left of %zu", found, in_bytes);
    }
    if (fflush(stdout) != 0) {
        fail("the output cannot be written: %s", strerror(errno));
    }
}

int main(int argc, char **argv) {
    Weights weights;
    pygru_config config;
    pygru_cell last;
    pygru_step_args step = {0};
    int64_t n_packed, n_states;
    size_t h_at, x_at, workspace_at, end;
    char *block, *memory;
    if (argc != 2) {
        fail("usage: stream weights.bin < inputs > outputs");
    }
    make_binary(stdin);
    make_binary(stdout);
    weights = open_weights(argv[1]);
    config = read_config(weights);
    check(argv[1], pygru_cell_of(&config, config.num_layers - 1, 0, &last));
    check(argv[1], pygru_packed_size(&config, &n_packed));
    check(argv[1], pygru_step_workspace(&config, 1, &step.workspace_bytes));

    n_states = config.num_layers * config.hidden_size; /* fewer than parameters */
    h_at = room(n_packed, 1);
    x_at = h_at + room(n_states, sizeof(float));
    workspace_at = x_at + room(config.input_size, sizeof(float));
    end = workspace_at + room(step.workspace_bytes, 1);
    block = allocate(end + ALIGNMENT);
    memory = aligned(block);
    pack(weights, &config, last.end, memory);
    (void)fclose(weights.file);
    memset(memory + h_at, 0, x_at - h_at); /* the state before the first step */

    step.config = &config;
    step.packed = memory;
    step.B = 1;
    step.x = memory + x_at;
    step.h = memory + h_at;
    step.h_next = memory + h_at;
    step.workspace = memory + workspace_at;
    run(&step, memory + x_at);
    free(block);
    return 0;
}
