"""Status codes: every code of the core becomes the exception that status.def names."""

import pytest

from pygru import InternalError
from pygru.core import _core, _testing

EXCEPTIONS = {
    "ValueError": ValueError,
    "InternalError": InternalError,
    "KeyboardInterrupt": KeyboardInterrupt,
}


def test_first_status_is_success():
    assert _core.status_table()[0] == (0, "None", "success")
    assert _testing.raise_status(0) is None


def test_every_status_has_a_text_of_its_own():
    table = _core.status_table()
    assert [code for code, _, _ in table] == list(range(len(table)))
    texts = [text for _, _, text in table]
    assert all(texts)
    assert "unknown status code" not in texts
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize(
    ("code", "name", "text"), _core.status_table()[1:], ids=lambda value: str(value)[:12]
)
def test_every_status_raises_what_the_table_says(code, name, text):
    with pytest.raises(EXCEPTIONS[name]) as raised:
        _testing.raise_status(code)
    assert type(raised.value) is EXCEPTIONS[name]
    assert str(raised.value) == text


@pytest.mark.parametrize("code", [-1, 1000, 2**31 - 1, len(_core.status_table())])
def test_unknown_status_is_an_internal_error(code):
    with pytest.raises(InternalError, match="unknown status code"):
        _testing.raise_status(code)
