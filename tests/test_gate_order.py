"""Permuting gates: every order and both layouts; pieces of a wrong shape are refused."""

import itertools

import numpy as np
import pytest

from pygru import GRU, gate_order

H = 3
ORDERS = ["".join(order) for order in itertools.permutations("rzn")]
VALUE = {"r": 10, "z": 20, "n": 30}


def made(order, *shape):
    """Blocks of H rows in ``order``; the tens of their numbers name the gate."""
    parts = [np.full((H, *shape), VALUE[gate]) + np.arange(H).reshape(H, 1) for gate in order]
    return np.concatenate(parts)


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_becomes_pygrus_own(order):
    np.testing.assert_array_equal(gate_order.reordered(made(order, 2), order), made("rzn", 2))
    vector = made(order, 1)[:, 0]
    np.testing.assert_array_equal(gate_order.reordered(vector, order), made("rzn", 1)[:, 0])
    np.testing.assert_array_equal(
        gate_order.reordered(vector, order, "columns"), made("rzn", 1)[:, 0]
    )
    np.testing.assert_array_equal(
        gate_order.reordered(made(order, 2).T, order, "columns"), made("rzn", 2)
    )


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("axis", [0, 1])
def test_join_is_the_inverse_of_split(order, axis):
    array = made(order, 2) if axis == 0 else made(order, 2).T
    parts = gate_order.split(array, order, axis)
    assert list(parts) == ["r", "z", "n"]
    for gate, part in parts.items():
        assert (part // 10 * 10 == VALUE[gate]).all()
        assert np.shares_memory(part, array)
    np.testing.assert_array_equal(gate_order.join(list(parts.values()), order, axis), array)


@pytest.mark.parametrize("bad", ["", "rz", "rzz", "rznn", "zrh", "RZN", None, ("r", "z", "n")])
def test_orders_that_are_none(bad):
    for call in (
        lambda: gate_order.check_order("gate_order", bad),
        lambda: gate_order.split(made("rzn", 2), bad),
        lambda: gate_order.reordered(made("rzn", 2), bad),
    ):
        with pytest.raises(ValueError, match="must have each of 'r', 'z' and 'n' once, got"):
            call()


def test_parts_of_different_shapes_are_not_joined():
    """The sum of the sizes is right, but each gate would get numbers of the next one."""
    with pytest.raises(
        ValueError, match=r"must have one shape, got \[\(4,\), \(2,\), \(3,\)\]"
    ):
        gate_order.join([np.ones(4), np.ones(2), np.ones(3)])
    with pytest.raises(ValueError, match="must have one shape"):
        gate_order.join([np.ones(3), np.ones(3)])
    with pytest.raises(ValueError, match="units must be 'rows' or 'columns', got 'row'"):
        gate_order.reordered(np.ones((3, 3)), "rzn", "row")
    with pytest.raises(ValueError, match="equal division"):
        gate_order.split(np.ones(7))


def test_the_order_of_the_weights_is_that_of_the_gates():
    """A bias that saturates one gate changes only that gate."""
    for place, gate in enumerate(gate_order.OWN):
        gru = GRU(2, H, seed=0)
        gru.flat_parameters[...] = 0
        gate_order.split(gru.parameters["bias_ih_l0"])[gate][...] = 100
        values = gru.gates(np.zeros((1, 2)))[0][:3]
        assert [bool((value == 1).all()) for value in values] == [k == place for k in range(3)]
