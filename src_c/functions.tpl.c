/* functions.tpl.c - the table of this build's functions, which calls.c looks up. */

extern const pygru_functions NAME(pygru_functions);
const pygru_functions NAME(pygru_functions) = {
    .pack = NAME(pack_parameters),
    .pack_integers = NAME(pack_integers),
    .forward = NAME(forward),
    .backward = NAME(backward),
    .step = NAME(step),
    .sigmoid = NAME(sigmoid_of),
    .tanh = NAME(tanh_of),
    .update = NAME(update),
    .cross_entropy = NAME(cross_entropy),
    .affine_pack = NAME(pack_affine),
    .affine = NAME(affine),
    .affine_backward = NAME(affine_backward),
    .sum_of_squares = NAME(sum_of_squares),
};
