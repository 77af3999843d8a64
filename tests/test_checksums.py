from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsam.checksums import from_sealed_json, to_sealed_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 2**60) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.text().filter(lambda name: name not in ("format", "checksum"))


@given(values=st.dictionaries(NAMES, VALUES, max_size=4))
def test_values_survive_the_file(values: dict[str, object]) -> None:
    text = to_sealed_json(values)
    assert from_sealed_json(text.encode(), required=True) == values
    # An editor may lay it out in another way, and sealing again changes nothing.
    other = json.dumps(json.loads(text), indent=7, sort_keys=True)
    assert from_sealed_json(other.encode(), required=True) == values
    assert from_sealed_json(to_sealed_json(json.loads(text)).encode()) == values


def test_every_changed_bit_is_noticed() -> None:
    values = {"status": "finished", "seconds": 1.5, "cost": {"gflops": 4, "none": None}}
    content = to_sealed_json(values).encode()
    for place in range(len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[place] ^= 1 << bit
            try:
                found = from_sealed_json(bytes(damaged))
            except ValueError:
                continue
            # White space between values does not count.
            assert found == values, damaged


def test_objects_without_a_checksum_are_of_earlier_versions() -> None:
    assert from_sealed_json(b'{"a": 1}') == {"a": 1}
    with pytest.raises(ValueError, match="checksum"):
        from_sealed_json(b'{"a": 1}', required=True)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xa2", b"[" * 100_000, b"{" + b'"a":{' * 9999])
def test_what_is_no_object_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whoever reads the file names it
        from_sealed_json(content)


def test_numbers_that_json_has_no_word_for_survive() -> None:
    assert math.isnan(from_sealed_json(to_sealed_json({"a": math.nan}).encode())["a"])
