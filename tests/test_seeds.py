"""Seeds of layers: with one integer seed, no two classes draw the same numbers."""

import numpy as np
import pytest

from pygru import (
    GRU,
    Attention,
    Dropout,
    Embedding,
    Last,
    Linear,
    RecurrentLayer,
    Seq2Seq,
    Sequential,
)
from pygru.nn.seeds import generator_for, spawn

SEEDS = [
    pytest.param(lambda: 7, id="int"),
    pytest.param(lambda: np.uint8(7), id="numpy"),
    pytest.param(lambda: [7, 8], id="list"),
    pytest.param(lambda: np.random.SeedSequence(7, spawn_key=(3,)), id="sequence"),
    pytest.param(lambda: np.random.PCG64(7), id="bits"),
    pytest.param(lambda: np.random.default_rng(7), id="generator"),
]


class Own(RecurrentLayer):
    """A user's layer with one square weight."""

    def __init__(self, seed=None):
        self.create_parameters(seed)

    def get_config(self):
        return {}

    @staticmethod
    def parameter_shapes(config):
        return {"weight": (4, 4)}

    def initialize(self, generator):
        self.parameters["weight"] = generator.uniform(-1, 1, (4, 4))


def drawn(seed):
    """What layers of every class draw from ``seed``, as numbers in [0, 1)."""
    makers = {
        "GRU": lambda s: GRU(4, 4, bias=False, seed=s).flat_parameters[:16] + 0.5,
        "Linear": lambda s: Linear(4, 4, bias=False, seed=s).flat_parameters + 0.5,
        "Embedding": lambda s: Embedding(4, 4, seed=s).flat_parameters,
        "Attention": lambda s: Attention(4, 4, seed=s).flat_parameters + 0.5,
        "Dropout": lambda s: Dropout(seed=s).generator.random(16),
        "Own": lambda s: (Own(s).flat_parameters + 1) / 2,
    }
    return {name: make(seed()) for name, make in makers.items()}


@pytest.mark.parametrize("seed", SEEDS)
def test_classes_draw_differently_and_each_repeats_itself(seed, request):
    first, second = drawn(seed), drawn(seed)
    for name, values in first.items():
        assert np.array_equal(values, second[name]), name
    if "generator" in request.node.callspec.id or "bits" in request.node.callspec.id:
        return  # with a generator, the caller chooses the numbers
    # An Embedding draws normal numbers, so its generator is compared instead.
    first["Embedding"] = generator_for(seed(), "Embedding").random(16)
    names = list(first)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            assert not np.isclose(first[one], first[other], atol=1e-6).any(), (one, other)


def test_a_gru_keeps_its_numbers():
    bound = 1 / np.sqrt(3)
    expected = np.random.default_rng(5).uniform(-bound, bound, (9, 2))
    weight = GRU(2, 3, dtype="float64", seed=5).parameters["weight_ih_l0"]
    assert np.array_equal(weight, expected)


def test_a_linear_draws_from_the_key_of_its_name():
    """The key is the CRC-32 of the class's name, so that it never changes."""
    key = np.random.SeedSequence(5, spawn_key=(175291781,))
    expected = np.random.default_rng(key).uniform(-0.5, 0.5, 12)
    assert np.array_equal(
        Linear(4, 3, bias=False, dtype="float64", seed=5).flat_parameters, expected
    )


def test_a_seed_sequence_is_left_as_it_is():
    sequence = np.random.SeedSequence(3)
    first, second = Linear(2, 2, seed=sequence), Linear(2, 2, seed=sequence)
    assert np.array_equal(first.flat_parameters, second.flat_parameters)
    assert sequence.n_children_spawned == 0


def test_a_generator_goes_on_from_layer_to_layer():
    generator = np.random.default_rng(0)
    first, second = Linear(3, 3, seed=generator), Linear(3, 3, seed=generator)
    assert not np.isclose(first.flat_parameters, second.flat_parameters).any()


# ---- models of several parts ---------------------------------------------------------------


def stack(seed=None):
    return Sequential(
        Embedding(5, 4),
        GRU(4, 4, batch_first=True, recurrent_dropout=0.5),
        Dropout(0.5),
        GRU(4, 4, batch_first=True, recurrent_dropout=0.5),
        Dropout(0.5),
        Linear(4, 4),
        Linear(4, 4),
        Own(),
        seed=seed,
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_every_layer_of_a_sequential_draws_differently(seed):
    model, again = stack(seed()), stack(seed())
    for (values, _), (others, _) in zip(model.flat_pairs, again.flat_pairs, strict=True):
        assert np.array_equal(values, others)
    weights = [values[:16] for values, _ in model.flat_pairs if len(values)]
    for i, one in enumerate(weights):
        for other in weights[i + 1 :]:
            assert not np.isclose(one, other, atol=1e-6).any()
    noise = [generator.random(8) for generator in model.generators]
    assert len(noise) == 4
    assert len(np.unique(noise)) == 32
    same = [generator.random(8) for generator in again.generators]
    assert np.array_equal(noise, same)


def test_without_a_seed_a_sequential_keeps_the_weights_of_its_layers():
    linear = Linear(3, 3, seed=0)
    before = linear.flat_parameters.copy()
    Sequential(linear)
    assert np.array_equal(linear.flat_parameters, before)


def test_a_sequential_seed_keeps_given_embeddings_and_draws_a_shared_layer_once():
    table = np.arange(6.0).reshape(3, 2)
    given = Embedding(3, 2, padding_idx=0, weight=table)
    shared = Linear(2, 2)
    model = Sequential(given, shared, shared, seed=1)
    assert np.array_equal(given.parameters["weight"], [[0, 0], [2, 3], [4, 5]])
    alone = Sequential(Embedding(3, 2), Linear(2, 2), seed=1)
    assert np.array_equal(model.parameters["1.weight"], alone.parameters["1.weight"])
    drawn_anew = Sequential(Embedding(3, 2, padding_idx=1), seed=1)
    assert not drawn_anew.parameters["0.weight"][1].any()
    assert drawn_anew.parameters["0.weight"][[0, 2]].all()


@pytest.mark.parametrize("seed", SEEDS)
def test_every_part_of_a_seq2seq_draws_differently(seed):
    model, again = (Seq2Seq(9, 9, 8, 8, dropout=0.5, seed=seed()) for _ in range(2))
    weights = [values[:64] for values, _ in model.flat_pairs if len(values)]
    for values, (others, _) in zip(
        weights, [pair for pair in again.flat_pairs if len(pair[0])], strict=True
    ):
        assert np.array_equal(values, others[:64])
    for i, one in enumerate(weights):
        for other in weights[i + 1 :]:
            assert not np.isclose(one, other, atol=1e-6).any()


@pytest.mark.parametrize(
    ("seed", "error", "shown"),
    [(-1, ValueError, "-1"), (1.5, TypeError, "float"), ("a", ValueError, "str")],
)
@pytest.mark.parametrize(
    "make",
    [
        lambda seed: Linear(2, 2, seed=seed),
        lambda seed: Dropout(seed=seed),
        lambda seed: Sequential(Last(), seed=seed),
        lambda seed: Seq2Seq(3, 3, 2, 2, seed=seed),
    ],
)
def test_what_is_no_seed_is_named(make, seed, error, shown):
    with pytest.raises((TypeError, ValueError), match=f"seed must be .* got {shown}"):
        make(seed)


def test_spawned_generators_are_independent():
    generator = np.random.default_rng(0)
    first, second = spawn(generator, 2), spawn(generator, 2)
    assert len({g.random() for g in (*first, *second)}) == 4
