"""The garbage collector is off only while a block imports, whatever happens in it."""

from __future__ import annotations

import gc

import pytest

from compactbio.imports import without_collector


def test_the_collector_comes_back():
    assert gc.isenabled()
    with without_collector():
        assert not gc.isenabled()
        lasting = [[]]
    assert gc.isenabled()
    assert all(kept is not lasting for kept in gc.get_objects())  # frozen: no collection looks at it
    with pytest.raises(ImportError), without_collector():
        raise ImportError
    assert gc.isenabled()
    gc.unfreeze()


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with without_collector():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()
