"""Shapes of a GPU's micro-batches: few, and none dear for what others hold."""

from __future__ import annotations

import math

import numpy as np
import pytest

from compactbio.finetuning.features import Feature
from compactbio.finetuning.packed.fixed_shapes import MOST_SHAPES, Shape, plan_shapes
from compactbio.pretraining.packed_attention import FLASH, UNPACKED

ROWS, WIDTH = 16, 768


def steps(count: int = 300, longest: int = 400) -> list[list[int]]:
    """Lengths of each step's sentences, as those of annotated abstracts are; one of all is far longer."""
    draw = np.random.default_rng(1)
    lengths = np.clip(draw.lognormal(3.5, 0.5, (count, ROWS)).astype(int), 4, 160)
    lengths[7, 3] = longest
    return np.sort(lengths, axis=1).tolist()


def shapes_of(batches, kernel):
    return plan_shapes(batches, kernel=kernel, batch_size=ROWS, pad=0, token_types=True)


def arithmetic(pieces: int, slots: int, longest: int) -> int:
    """Of a layer's forward pass: matrices of queries, keys, values, output and a feed-forward of four widths; maps."""
    dense = 4 * WIDTH**2 + 2 * WIDTH * 4 * WIDTH
    return 2 * pieces * dense + 2 * 2 * slots * longest**2 * WIDTH


def taken(shapes, batch):
    """The pieces, slots and longest of a step's micro-batch, off its arrays."""
    features = [Feature(np.ones(length, np.int64), length, {"labels": np.zeros(length, np.int64)}) for length in batch]
    arrays = shapes.arrays(features)
    assert np.diff(arrays["boundaries"]).max() <= arrays["longest"]
    assert arrays["position_ids"].max() < max(map(max, steps()))  # of fill too: there are no positions beyond
    return arrays["input_ids"].shape[1], len(arrays["boundaries"]) - 1, arrays["longest"]


def test_a_long_sentence_sets_the_price_of_its_own_batch_alone_where_attention_is_padded():
    batches = steps()
    shapes = shapes_of(batches, UNPACKED)
    assert 2 <= len(shapes.shapes) <= MOST_SHAPES
    ours = sum(arithmetic(*taken(shapes, batch)) for batch in batches)

    def without_fill(longest_of):
        sums = ((sum(batch), longest_of(batch)) for batch in batches)
        return sum(arithmetic(pieces, ROWS + math.ceil(pieces / longest), longest) for pieces, longest in sums)

    assert ours < 1.2 * without_fill(max) and 1.4 * ours < without_fill(lambda _: 400)
    assert taken(shapes, batches[7])[2] == 400


def test_a_micro_batch_takes_the_cheapest_shape_that_holds_it():
    batches = steps()
    shapes = shapes_of(batches, UNPACKED)
    for batch in batches:
        holding = [shape for shape in shapes.shapes if shape.size >= sum(batch) and shape.longest >= batch[-1]]
        costs = [arithmetic(one.size, ROWS + math.ceil(one.size / one.longest), one.longest) for one in holding]
        assert arithmetic(*taken(shapes, batch)) == min(costs)


def test_one_length_is_enough_for_a_kernel_that_does_not_pad():
    shapes = shapes_of(steps(), FLASH).shapes
    assert len(shapes) > 1 and {shape.longest for shape in shapes} == {400}


@pytest.mark.parametrize("kernel", [UNPACKED, FLASH, None])
def test_steps_that_are_alike_have_one_shape(kernel):
    (shape,) = shapes_of([[20] * ROWS] * 50, kernel).shapes
    assert shape == (Shape(320, 20) if kernel else Shape(20, 20))
