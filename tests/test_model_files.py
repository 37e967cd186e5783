"""Model files: round trips keep every bit, and damaged or hostile files are refused in order.

These tests cover the rows B-94 to B-113 of the bad-input list. The row is in the test's name.
"""

import contextlib
import errno
import json
import os
import stat
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from fuzz.model_files import assemble, parts

import pygru
from pygru import GRU, Dropout, Embedding, FormatError, Last, Linear, Sequential
from pygru.io import files


def models():
    return [
        GRU(2, 3, seed=0),
        GRU(2, 3, 2, bidirectional=True, dropout=0.5, bias=False, dtype="float64", seed=0),
        GRU(2, 3, variant=pygru.Variant("after", "replace"), batch_first=True, seed=0),
        Linear(3, 2, seed=0),
        Last(),  # a layer without parameters
        Embedding(5, 2, padding_idx=3, trainable=False, dtype="float64", seed=0),
        Sequential(
            Embedding(5, 4, seed=0),
            GRU(4, 3, batch_first=True, variant="pytorch", seed=1),
            Last(),
            Dropout(0.1),
            Linear(3, 2, bias=False, seed=2),
        ),
    ]


@pytest.mark.parametrize("model", models(), ids=repr)
def test_round_trip_is_exact(model, tmp_path):
    path = tmp_path / "model.safetensors"
    pygru.save(model, path, {"note": [1, "two"]})
    loaded = pygru.load(path)
    assert repr(loaded) == repr(model)
    assert list(loaded.parameters) == list(model.parameters)
    for name, view in model.parameters.items():
        assert view.dtype == loaded.parameters[name].dtype
        assert np.array_equal(view, loaded.parameters[name])
    assert pygru.read_metadata(path) == {"note": [1, "two"]}


def test_the_file_is_plain_safetensors(tmp_path):
    gru = GRU(2, 3, seed=0)
    pygru.save(gru, tmp_path / "m.safetensors")
    arrays = safetensors.numpy.load_file(tmp_path / "m.safetensors")
    assert np.array_equal(arrays["weight_hh_l0"], gru.parameters["weight_hh_l0"])


@pytest.fixture
def valid(tmp_path):
    path = tmp_path / "valid.safetensors"
    pygru.save(GRU(2, 3, seed=0), path)
    return path.read_bytes()


def load_bytes(tmp_path, data):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(data)
    return pygru.load(path)


def with_config(data, **changes):
    """The same file with other values in the GRU's configuration."""
    header, body = parts(data)
    description = json.loads(header["__metadata__"]["config"])
    description["config"].update(changes)
    header["__metadata__"]["config"] = json.dumps(description)
    return assemble(header, body)


def with_note(data, **changes):
    header, body = parts(data)
    header["__metadata__"].update(changes)
    return assemble(header, body)


def with_tensor(data, name, **changes):
    header, body = parts(data)
    header[name].update(changes)
    return assemble(header, body)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda d: b"", "file too short for a safetensors header", id="b95-empty"),
        pytest.param(lambda d: d[:3], r"file too short .* \(3 bytes\)", id="b95-short"),
        pytest.param(
            lambda d: struct.pack("<Q", 2**63 - 1) + d[8:],
            "header length 9223372036854775807 exceeds file size",
            id="b96-huge",
        ),
        pytest.param(
            lambda d: struct.pack("<Q", 2 * 2**20) + b"{" + b" " * 2 * 2**20,
            "exceeds the limit",
            id="b96-limit",
        ),
        pytest.param(lambda d: assemble(b"{\xff}", b""), "not UTF-8", id="b97-utf8"),
        pytest.param(lambda d: assemble(b"{nope}", b""), "not valid JSON", id="b97-json"),
        pytest.param(lambda d: assemble(b"[]", b""), "does not start with", id="b97-list"),
        pytest.param(
            lambda d: assemble(b'{"a":' + b"[" * 100_000, b""), "not valid JSON", id="b97-deep"
        ),
        pytest.param(lambda d: assemble(b'{"a":1,"a":2}', b""), "duplicate key", id="b98"),
        pytest.param(
            lambda d: with_tensor(d, "weight_ih_l0", data_offsets=[-1, 5]),
            "damaged",
            id="b99-negative",
        ),
        pytest.param(
            lambda d: with_tensor(d, "weight_ih_l0", data_offsets=[0, 10**6]),
            "damaged",
            id="b99-past-the-end",
        ),
        pytest.param(
            lambda d: with_tensor(d, "bias_ih_l0", data_offsets=[4, 40]),
            "damaged",
            id="b99-overlap",
        ),
        pytest.param(
            lambda d: with_tensor(d, "bias_ih_l0", shape=[-9]),
            "must have shape",
            id="b100-negative",
        ),
        pytest.param(
            lambda d: with_tensor(d, "bias_ih_l0", shape=[2**62]),
            "must have shape",
            id="b100-huge",
        ),
        pytest.param(
            lambda d: with_tensor(d, "bias_ih_l0", shape=[9.0]),
            "not made of integers",
            id="b100-float",
        ),
        pytest.param(lambda d: d + b"\0", "damaged", id="b101-trailing"),
        pytest.param(
            lambda d: with_tensor(d, "bias_ih_l0", dtype="F16"),
            "bias_ih_l0 must have dtype float32, got F16",
            id="b102",
        ),
        pytest.param(
            lambda d: with_config(d, dtype="float64"),
            "must have dtype float64",
            id="b102-config",
        ),
        pytest.param(
            lambda d: with_config(d, num_layers=2),
            "missing tensors: weight_ih_l1",
            id="b103-missing",
        ),
        pytest.param(
            lambda d: with_config(d, bias=False),
            "unexpected tensors: bias",
            id="b103-unexpected",
        ),
        pytest.param(
            lambda d: with_config(d, hidden_size=-1),
            "hidden_size must be >= 1",
            id="b104-negative",
        ),
        pytest.param(
            lambda d: with_config(d, hidden_size=2**40), "needs .* parameters", id="b104-huge"
        ),
        pytest.param(
            lambda d: with_config(d, num_layers=2**62), "num_layers=", id="b104-layers"
        ),
        pytest.param(
            lambda d: with_config(d, hidden_size=float("nan")), "must be an int", id="b104-nan"
        ),
        pytest.param(
            lambda d: with_config(d, variant="other"),
            "variant must be one of",
            id="b104-variant",
        ),
        pytest.param(
            lambda d: with_config(d, surprise=1),
            "configuration is not valid",
            id="b104-unknown",
        ),
        pytest.param(
            lambda d: with_note(d, config="{}"), "configuration is not valid", id="b104-empty"
        ),
        pytest.param(
            lambda d: with_note(d, config='{"class": "os", "config": {}}'),
            "configuration is not valid",
            id="b104-class",
        ),
        pytest.param(
            lambda d: with_note(d, config="[]"), "configuration is not valid", id="b104-list"
        ),
        pytest.param(
            lambda d: with_note(d, format_version="3"),
            r"newer pygru \(format 3\); this version reads up to 1",
            id="b105",
        ),
        pytest.param(
            lambda d: with_note(d, format_version="x"), "format_version must be", id="b105-text"
        ),
        pytest.param(lambda d: with_note(d, format="other"), "format=pygru", id="foreign"),
        pytest.param(lambda d: b"\x80\x04\x95" + b"x" * 20, "looks like a pickle", id="b109"),
        pytest.param(lambda d: b"PK\x03\x04" + b"x" * 20, "looks like a zip", id="b109-npz"),
    ],
)
def test_bad_files_are_refused(make, message, valid, tmp_path):
    with pytest.raises(FormatError, match=message):
        load_bytes(tmp_path, make(valid))


def test_b107_truncated_anywhere(valid, tmp_path):
    for size in range(len(valid)):
        with pytest.raises(FormatError):
            load_bytes(tmp_path, valid[:size])


def test_b108_flipped_bits_load_or_are_refused(valid, tmp_path):
    rng = np.random.default_rng(0)
    for _ in range(2000):
        data = bytearray(valid)
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        with contextlib.suppress(FormatError):
            # If a damaged file is accepted, its model works and fits its configuration.
            model = load_bytes(tmp_path, bytes(data))
            assert set(model.state_dict()) == set(model.parameter_shapes(model.get_config()))


def test_b106_check_finite(tmp_path):
    gru = GRU(2, 3, seed=0)
    gru.parameters["weight_ih_l0"][0, 0] = np.nan
    pygru.save(gru, tmp_path / "m.safetensors")
    pygru.load(tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match="weight_ih_l0 contains NaN"):
        pygru.load(tmp_path / "m.safetensors", check_finite=True)


def test_b94_files_that_cannot_be_read(tmp_path):
    with pytest.raises(FileNotFoundError):
        pygru.load(tmp_path / "missing")
    with pytest.raises(IsADirectoryError):
        pygru.load(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_b111_a_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FormatError, match="must be a regular file"):
        pygru.load(tmp_path / "pipe")


def test_b111_paths(tmp_path):
    with pytest.raises(ValueError, match="null"):
        pygru.load("a\0b")
    pygru.save(GRU(1, 1), os.fsencode(tmp_path / "bytes.safetensors"))
    pygru.load(str(tmp_path / "bytes.safetensors"))


def test_b113_saving_fails_without_a_trace(tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    pygru.save(GRU(1, 1, seed=0), path)
    before = path.read_bytes()

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        pygru.save(GRU(5, 5, seed=0), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_b113_targets_that_cannot_be_written(tmp_path):
    with pytest.raises(IsADirectoryError):
        pygru.save(GRU(1, 1), tmp_path)
    with pytest.raises(FileNotFoundError):
        pygru.save(GRU(1, 1), tmp_path / "no" / "such" / "folder")


def test_saving_is_flushed_before_it_is_renamed(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append("fsync"), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("replace"), replace(a, b)))
    pygru.save(GRU(1, 1), tmp_path / "m.safetensors")
    # Windows cannot flush a folder.
    assert calls == ["fsync", "replace"] + ["fsync"] * hasattr(os, "O_DIRECTORY")


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_a_file_keeps_its_permissions_and_a_link_its_target(tmp_path):
    file, link = tmp_path / "m.safetensors", tmp_path / "latest"
    pygru.save(GRU(1, 1, seed=0), file)
    file.chmod(0o640)
    link.symlink_to(file)
    pygru.save(GRU(2, 2, seed=0), link)
    assert link.is_symlink() and pygru.load(file).hidden_size == 2
    assert file.stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.name == "nt", reason="needs /dev/fd")
def test_a_model_goes_through_a_pipe(tmp_path):
    reader, writer = os.pipe()
    with open(reader, "rb") as pipe:
        pygru.save(GRU(1, 1, seed=0), f"/dev/fd/{writer}")
        os.close(writer)
        written = pipe.read()
    pygru.save(GRU(1, 1, seed=0), tmp_path / "m")
    assert written == (tmp_path / "m").read_bytes()


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_a_private_file_is_private_from_the_first_byte_on(tmp_path, monkeypatch):
    path, seen = tmp_path / "m", []
    pygru.save(GRU(1, 1), path)
    path.chmod(0o600)
    fsync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda fd: (seen.append(os.fstat(fd).st_mode & 0o777), fsync(fd))
    )
    pygru.save(GRU(1, 1), path)
    assert seen[0] == 0o600


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_what_is_no_file_is_written_to_and_not_replaced(tmp_path):
    pygru.save(GRU(1, 1), "/dev/null")
    with pytest.raises(OSError, match="No space left"):
        pygru.save(GRU(1, 1), "/dev/full")
    for name in ("null", "full"):
        assert stat.S_ISCHR(os.stat(f"/dev/{name}").st_mode)
        assert not [entry for entry in os.listdir("/dev") if entry.startswith(f".{name}")]


def test_save_refuses_what_it_does_not_know(tmp_path):
    with pytest.raises(TypeError, match="cannot save a dict"):
        pygru.save({}, tmp_path / "m")
    with pytest.raises(TypeError, match="JSON"):
        pygru.save(GRU(1, 1), tmp_path / "m", {"a": object()})
    assert os.listdir(tmp_path) == []


def test_errors_name_the_file(tmp_path):
    """A program that loads several files must be able to say which of them is damaged."""
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"date,value")
    trainer = pygru.Trainer(pygru.GRU(1, 1, batch_first=True, seed=0))
    for read in (pygru.load, pygru.read_metadata, trainer.resume):
        with pytest.raises(FormatError, match=r"broken\.safetensors: "):
            read(path)


@pytest.mark.parametrize("make", [str, Path, os.fsencode])
def test_an_error_of_writing_names_the_file_that_was_asked_for(make, tmp_path):
    path = tmp_path / "nowhere" / "m.safetensors"
    with pytest.raises(FileNotFoundError) as caught:
        pygru.save(pygru.GRU(1, 1), make(path))
    assert (caught.value.filename, caught.value.filename2) == (str(path), None)


def test_an_error_of_renaming_names_the_file_that_was_asked_for(tmp_path, monkeypatch):
    def fail(source, target):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), source, None, target)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(PermissionError) as caught:
        pygru.save(pygru.GRU(1, 1), tmp_path / "m.safetensors")
    assert (caught.value.filename, caught.value.filename2) == (
        str(tmp_path / "m.safetensors"),
        None,
    )
    assert str(caught.value).endswith("m.safetensors'")  # and not "-> None"
    assert list(tmp_path.iterdir()) == []


# The next tests do what Windows does where it has no locks on files.


@pytest.mark.parametrize("refusals", [1, 100])
def test_a_file_that_another_program_reads_is_replaced_later(refusals, tmp_path, monkeypatch):
    left, pauses, replace = [refusals], [], os.replace

    def refuse(source, target):
        left[0] -= 1
        if left[0] >= 0:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), source, None, target)
        replace(source, target)

    monkeypatch.setattr(files, "fcntl", None)
    monkeypatch.setattr(files.time, "sleep", pauses.append)
    monkeypatch.setattr(os, "replace", refuse)
    if refusals > 1:
        with pytest.raises(PermissionError, match=r"m\.safetensors"):
            pygru.save(pygru.GRU(1, 1), tmp_path / "m.safetensors")
        assert os.listdir(tmp_path) == []
        assert 0.5 < sum(pauses) < 2
    else:
        pygru.save(pygru.GRU(1, 1), tmp_path / "m.safetensors")
        assert os.listdir(tmp_path) == ["m.safetensors"]
        assert len(pauses) == 1


def test_a_file_that_is_taken_for_a_leftover_without_locks_is_written_again(
    tmp_path, monkeypatch
):
    taken, fsync = [], os.fsync

    def take(descriptor):  # as another process that saves to the same name
        fsync(descriptor)
        if not taken:
            taken.extend(name for name in os.listdir(tmp_path) if files.TEMPORARY in name)

    def close_and_rename(temporary, path, rename=files._rename_closed):
        if taken and os.path.basename(temporary) == taken[0]:
            files._remove_leftovers(str(tmp_path), "m")
        return rename(temporary, path)

    monkeypatch.setattr(files, "fcntl", None)
    monkeypatch.setattr(os, "fsync", take)
    monkeypatch.setattr(files, "_rename_closed", close_and_rename)
    (tmp_path / f".m{files.TEMPORARY}1-00000000").write_bytes(b"of a process that was killed")
    pygru.save(pygru.GRU(2, 3), tmp_path / "m")
    assert os.listdir(tmp_path) == ["m"] and len(taken) == 1
    assert pygru.load(tmp_path / "m").hidden_size == 3


@pytest.mark.parametrize("taken", [False, True])
def test_a_file_that_never_gets_its_name_is_given_up(taken, tmp_path, monkeypatch):
    """A name that is too long is "not found" on Windows, as is a file that was removed."""
    attempts = []

    def refuse(source, target):
        attempts.append(source)
        assert len(attempts) <= files.ATTEMPTS
        if taken:
            os.unlink(source)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), source, 206, target)

    monkeypatch.setattr(files, "fcntl", None)
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="each new file" if taken else "No such file") as caught:
        pygru.save(pygru.GRU(1, 1), tmp_path / "m")
    assert caught.value.filename == str(tmp_path / "m")
    assert os.listdir(tmp_path) == []
    assert len(attempts) == (files.ATTEMPTS if taken else 1)


@pytest.mark.parametrize(
    "text", ["day,sales\n2024-01-01,5\n", '{"records": [1]}', "\ufeffday,sales"]
)
def test_a_file_of_text_is_called_that(text, tmp_path):
    (tmp_path / "m").write_text(text, encoding="utf-8")
    with pytest.raises(pygru.FormatError, match="looks like text"):
        pygru.load(tmp_path / "m")
