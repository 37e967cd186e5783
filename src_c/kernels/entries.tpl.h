/* entries.tpl.h - the entries of a table of kernels that do not depend on the type of weights. It
 * is included inside the initializer of a table, by precision.tpl.c. */
.usual_gates = {.after_forward = NAME(after_forward),
                .before_reset = NAME(before_reset),
                .before_candidate = NAME(before_candidate),
                .after_backward = NAME(after_backward),
                .before_backward = NAME(before_backward),
                .reset_backward = NAME(reset_backward)},
    .other_gates = {.after_forward = NAME(other_after_forward),
                    .before_reset = NAME(other_before_reset),
                    .before_candidate = NAME(other_before_candidate),
                    .after_backward = NAME(other_after_backward),
                    .before_backward = NAME(other_before_backward),
                    .reset_backward = NAME(other_reset_backward)},
    .activate = NAME(activate), .normalise = NAME(normalise),
    .normalise_backward = NAME(normalise_backward), .sigmoid = NAME(all_sigmoid),
    .tanh = NAME(all_tanh),
    .updates =
        {
#define PYGRU_OPTIMIZER(name, ...) [PYGRU_OPTIMIZER_##name] = NAME(name),
#include "../optimizers.def"
#undef PYGRU_OPTIMIZER
},
    .sum_of_squares = NAME(sum_of_squares), .cross_entropy = NAME(cross_entropy),
