"""Merging of configurations is Snakemake's own, and SLURM's times are read as SLURM writes them."""

from __future__ import annotations

from copy import deepcopy
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snakemake.utils import update_config

from compactbio.settings.load import merge
from compactbio.slurm import minutes_of

VALUE = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=3)
CONFIGURATION = st.recursive(
    st.dictionaries(st.sampled_from("abc"), VALUE, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), VALUE | inner, max_size=3),
    max_leaves=12,
)


@given(CONFIGURATION, CONFIGURATION)
def test_merging_is_what_snakemake_does_with_a_second_configuration_file(below, above):
    before = deepcopy((below, above))
    expected = deepcopy(below)
    update_config(expected, deepcopy(above))
    assert merge(below, above) == expected
    assert (below, above) == before


@given(st.integers(0, 40), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_times_are_read_in_every_form_that_slurm_has(days, hours, minutes, seconds):
    exact = 1440 * days + 60 * hours + minutes + seconds / 60
    about = partial(pytest.approx, rel=1e-12, abs=1e-9)
    assert minutes_of(f"{days}-{hours:02}:{minutes:02}:{seconds:02}") == about(exact)
    assert minutes_of(f"{days}-{hours:02}:{minutes:02}") == about(exact - seconds / 60)
    assert minutes_of(f"{days}-{hours:02}") == 1440 * days + 60 * hours
    assert minutes_of(f"{hours:02}:{minutes:02}:{seconds:02}") == about(exact - 1440 * days)
    assert minutes_of(f"{minutes:02}:{seconds:02}") == about(minutes + seconds / 60)
    assert minutes_of(f"{minutes}") == minutes
