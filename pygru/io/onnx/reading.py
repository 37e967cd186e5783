"""Reads ONNX files: which GRUs are in one, and every array that it stores.

A model is a graph of nodes. A node may contain graphs of its own (If, Loop, Scan), or be the
call of a function that the model defines. All of them are searched, and no node is run.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from pygru.core import validation
from pygru.errors import DataWarning, FormatError
from pygru.gru import GRU
from pygru.io.files import named_in_errors, open_regular_file
from pygru.io.found import Contents, FoundGRU, choose
from pygru.io.onnx.found_nodes import CONSTANT, Refusal, found_gru
from pygru.io.onnx.messages import FunctionProto, GraphProto, ModelProto, NodeProto, decode
from pygru.io.onnx.operators import Attributes
from pygru.io.onnx.scopes import STANDARD, NotConstantError, Scope, Store, constant
from pygru.io.onnx.tensors import Array, is_readable
from pygru.variant import Variant

Source = Any  # a path, bytes, or a ModelProto of the package onnx, which pygru does not import

OTHERS = {"LSTM": "it is an LSTM", "RNN": "it is a plain RNN"}

RECURRENT = {"GRU", *OTHERS}

#: What is in the loop of a recurrent layer that an exporter has written without its operator.
LOOPS = {"Loop", "Scan"}
PRODUCTS = {"MatMul", "Gemm"}
GATES = {"Sigmoid", "HardSigmoid"}
WRITTEN_OUT = (
    "its steps are single products and sigmoids: an exporter may have written a recurrent "
    "layer without an operator for it. read_arrays has its weights, and from_arrays takes them"
)

FIRST_WITH_OPSETS = 3  # the ir_version since which a file says the versions of its operators

#: Bytes that the constants of any model may take, however small its file is.
LEAST_SIZE = 2**20

#: Nodes that are looked at. A function whose body calls another one twice, and so on, would
#: have more than any file can hold.
MOST_NODES = 2**21
MOST_CALLS = 100  # functions that call each other


def from_onnx(source: Source, node: str | None = None, **options: Any) -> GRU:
    """Return a GRU of an ONNX model, with its weights and everything that the model says of it.

    The file is read by pygru itself: neither the package ``onnx`` nor a runtime is needed.

    Parameters
    ----------
    source : path-like, bytes or ModelProto
        The path of an ``.onnx`` file, its contents, or a model that ``onnx`` has loaded.
    node : str, optional
        The name of the node GRU, or of one of its outputs. Not needed if there is one GRU.
    **options
        Arguments of :class:`pygru.GRU` that the file does not decide: ``dtype``,
        ``batch_first``, ``seed``, and what acts in training only. A ``variant`` other than the
        file's is possible where it is exact.

    Returns
    -------
    GRU
        Of one layer, because a node of ONNX is one layer. Its ``batch_first`` is True where the
        node has ``layout=1``.

    Raises
    ------
    FormatError
        If the file is damaged, is no ONNX model, or has no GRU.
    ValueError
        If there are several GRUs and ``node`` names none, if the node is not a GRU that pygru
        can compute, or if an option contradicts it. The message says what is in the way.
    TypeError
        If ``source`` is of another type, or an option does not exist.
    OSError
        If the file cannot be read.

    Warns
    -----
    DataWarning
        If PyTorch has written ``linear_before_reset=0``, which no GRU of PyTorch is; or if the
        graph has constant lengths, which a GRU does not keep.

    See Also
    --------
    pygru.io.inspect : Which GRUs are in a file, and where their initial states come from.
    pygru.to_onnx : The other way.

    Notes
    -----
    A node gives ``Y`` as (T, D, B, H) and ``Y_h`` as (D, B, H). pygru gives the output as
    (T, B, D*H), and h_n as (D, B, H). An initial state that is a constant of the graph becomes
    the parameter ``h0``, and one that the graph computes must be passed in each call.

    Examples
    --------
    >>> import os, tempfile
    >>> import pygru
    >>> path = os.path.join(tempfile.mkdtemp(), "model.onnx")
    >>> pygru.to_onnx(pygru.GRU(2, 3, variant="pytorch", seed=0), path)
    >>> pygru.from_onnx(path)
    GRU(2, 3, variant='pytorch', dtype='float32')
    """
    is_path = isinstance(source, (str, os.PathLike))
    what = os.fsdecode(source) if is_path else "the model"
    with named_in_errors(source) if is_path else contextlib.nullcontext():
        read = _read(source)
    names = {found.name for found in read.contents.grus} | read.contents.refused.keys()
    found = choose(
        read.contents,
        read.by_output.get(node, node) if node is not None and node not in names else node,
        "node",
        what,
    )
    if found.evidence.get("lengths", "").startswith(CONSTANT):
        warnings.warn(
            f"{found.name}: the lengths of its sequences are {found.evidence['lengths']}",
            DataWarning,
            stacklevel=2,
        )
    if found.name in read.doubtful:
        found = _decided(found, options)
    return found.build(**options)


def contents(source: Source) -> Contents:
    """Return the GRUs of a model, and why its other recurrent layers are none for pygru."""
    return _read(source).contents


def arrays(source: Source) -> dict[str, Array]:
    """Return a copy of every constant that a model stores, by its name.

    Those of the graphs within nodes and of functions are among them; a name that was there
    before gets a number. Constants that NumPy has no type for are left out: text, and numbers
    of fewer than 8 bits.
    """
    model, folder, size = _model(source)
    store = Store(folder, size)
    result: dict[str, Array] = {}
    for tensor, array in _stored(model, store):
        result[_unused(tensor, result)] = np.array(array)
    return result


# ---- the file ------------------------------------------------------------------------------


def _model(source: Source) -> tuple[ModelProto, str | None, int]:
    """The model, its folder if it is known, and its size in bytes."""
    folder = None
    if isinstance(source, (str, os.PathLike)):
        with open_regular_file(source) as (file, _):
            data: bytes | memoryview = file.read()
        folder = os.path.dirname(os.path.abspath(os.fsdecode(source)))
    elif isinstance(source, (bytes, bytearray, memoryview)):
        data = source if isinstance(source, bytes) else memoryview(bytes(source))
    elif type(source).__name__ == "ModelProto" and hasattr(source, "SerializeToString"):
        data = source.SerializeToString()
    else:
        raise TypeError(
            "source must be a path, the bytes of an ONNX file or a ModelProto, got "
            f"{validation.type_name(source)}"
        )
    try:
        model = decode(ModelProto, data)
    except FormatError as error:
        raise FormatError(f"not an ONNX file, or a damaged one: {error}") from None
    if model.graph is None:
        raise FormatError("not an ONNX model: it has no graph")
    if not model.opset_import and (model.ir_version or 0) >= FIRST_WITH_OPSETS:
        raise FormatError("damaged: it does not say of which version its operators are")
    return model, folder, max(len(data), LEAST_SIZE)


def _graphs(node: NodeProto) -> Iterator[GraphProto]:
    """The graphs in a node: the branches of If, the body of Loop and of Scan."""
    for attribute in node.attribute:
        if attribute.g is not None:
            yield attribute.g
        yield from attribute.graphs


def _stored(model: ModelProto, store: Store) -> Iterator[tuple[str, Array]]:
    """The name and the array of each constant, in the order of the file."""
    assert model.graph is not None
    waiting: list[GraphProto | FunctionProto] = [*reversed(model.functions), model.graph]
    while waiting:
        graph = waiting.pop()
        for tensor in graph.initializer if isinstance(graph, GraphProto) else ():
            if is_readable(tensor):
                yield tensor.name, store.array(tensor)
        inner: list[GraphProto | FunctionProto] = []
        for node in graph.node:
            inner += _graphs(node)
            if node.op_type == "Constant" and node.domain in STANDARD and node.output:
                attributes = Attributes((each.name, each) for each in node.attribute)
                value = attributes["value"].t if "value" in attributes else None
                if value is None or is_readable(value):
                    with contextlib.suppress(NotConstantError):
                        yield node.output[0], constant(attributes, store)
        waiting += reversed(inner)


def _unused(name: str, names: Any) -> str:
    """A name, with a number behind it if it is used already."""
    unused, number = name, 1
    while unused in names:
        number += 1
        unused = f"{name}#{number}"
    return unused


# ---- the nodes -----------------------------------------------------------------------------


class _Found(NamedTuple):
    """What is in a model: the GRUs, the name of each by its outputs, and which are in doubt."""

    contents: Contents
    by_output: dict[str, str]
    doubtful: set[str]


class _Place(NamedTuple):
    """A node that is to be looked at, with what it can see and what stands before its name."""

    node: NodeProto
    scope: Scope
    prefix: str


def _read(source: Source) -> _Found:
    model, folder, size = _model(source)
    result = _Found(Contents([], {}), {}, set())
    names: dict[str, str] = {}
    for node, scope, prefix in _nodes(model, Store(folder, size)):
        reason = _other_kind(node)
        if reason is None and node.op_type != "GRU":
            continue
        outputs = [prefix + output for output in node.output if output]
        name = _unused(prefix + node.name if node.name else (outputs or ["GRU"])[0], names)
        names[name] = ""
        for output in outputs:
            result.by_output.setdefault(output, name)
        try:
            if reason is not None:
                raise Refusal(reason)
            found = found_gru(name, node, scope)
        except Refusal as refusal:
            result.contents.refused[name] = str(refusal)
            continue
        if model.producer_name == "pytorch" and found.options["variant"].reset == "before":
            result.doubtful.add(name)
            doubt = f"{found.evidence['variant']}; but PyTorch, which wrote it, has no such GRU"
            found = replace(found, evidence={**found.evidence, "variant": doubt})
        result.contents.grus.append(found)
    return result


def _other_kind(node: NodeProto) -> str | None:
    """Why a node is recurrent and no GRU of ONNX itself, or None if it is not so."""
    if node.domain not in STANDARD:
        is_recurrent = any(kind in node.op_type.upper() for kind in ("GRU", "LSTM", "RNN"))
        what = f"it is the operator {node.op_type[:80]} of {node.domain[:80]}"
        return f"{what}, which is none of ONNX itself" if is_recurrent else None
    if node.op_type in LOOPS:
        for graph in _graphs(node):
            operators = {inner.op_type for inner in graph.node}
            if operators & PRODUCTS and operators & GATES and not operators & RECURRENT:
                return WRITTEN_OUT
    return OTHERS.get(node.op_type)


def _nodes(model: ModelProto, store: Store) -> Iterator[_Place]:
    """All nodes in their order, those of inner graphs and of called functions after the outer.

    The call of a function is replaced by the nodes of its body.
    """
    assert model.graph is not None
    functions = {(each.domain, each.name, each.overload): each for each in model.functions}
    count = 0
    running = [(_graph_scope(model.graph, store, None), iter(model.graph.node), "")]
    while running:
        scope, nodes, prefix = running[-1]
        node = next(nodes, None)
        if node is None:
            running.pop()
            continue
        count += 1
        if count > MOST_NODES:
            raise FormatError(f"the model runs more than {MOST_NODES} nodes")
        called = functions.get((node.domain, node.op_type, node.overload))
        if called is not None:
            if len(running) > MOST_CALLS:
                raise FormatError(f"functions call each other more than {MOST_CALLS} deep")
            name = node.name or next(filter(None, node.output), called.name)
            body = _function_scope(called, node, scope, store)
            running.append((body, iter(called.node), f"{prefix}{name}/"))
            continue
        yield _Place(node, scope, prefix)
        for graph in reversed(list(_graphs(node))):
            running.append((_graph_scope(graph, store, scope), iter(graph.node), prefix))


def _graph_scope(graph: GraphProto, store: Store, outer: Scope | None) -> Scope:
    scope = Scope(store, outer, inputs={value.name for value in graph.input})
    scope.add_tensors(graph.initializer)
    scope.add_sparse(graph.sparse_initializer)
    scope.add_nodes(graph.node)
    return scope


def _function_scope(
    function: FunctionProto, call: NodeProto, scope: Scope, store: Store
) -> Scope:
    """The names in the body of a function that is called by a node."""
    given = [scope.present(call, index) for index in range(len(call.input))]
    given += [""] * (len(function.input) - len(given))
    defaults = {each.name: each for each in function.attribute_proto}
    body = Scope(
        store,
        arguments={
            name: (scope, value) if value else None
            for name, value in zip(function.input, given, strict=False)
        },
        attributes={**defaults, **scope.attributes_of(call)},
    )
    body.add_nodes(function.node)
    return body


# ---- files that PyTorch has written wrongly ------------------------------------------------


def _decided(found: FoundGRU, options: dict[str, Any]) -> FoundGRU:
    """A GRU with the reset before the product, in a file of PyTorch, which has none.

    The exporter of some versions of PyTorch forgot the attribute ``linear_before_reset``. What
    the file says is computed, as by every runtime, but not silently. A caller who knows better
    passes a variant with the reset after the product.
    """
    variant = options.get("variant")
    if variant is None:
        warnings.warn(
            f"{found.name}: the file says linear_before_reset=0, but PyTorch, which wrote "
            "it, has no such GRU: an exporter of PyTorch wrote this by mistake. pygru computes "
            "what the file says; if the model was wrong after its export, pass "
            "variant='pytorch'",
            DataWarning,
            stacklevel=3,
        )
    elif Variant.named(variant).reset == "after":
        return replace(found, options={**found.options, "variant": Variant.named("pytorch")})
    return found
