"""Coordinates of output pixels in their source, and bilinear sampling there."""

import math

import numpy as np
import pytest
import torch

from rescale_bench.networks.sampling import lines_touched, sample_map, sample_rows, source_positions


def test_both_samplers_agree_with_a_loop():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, 2, 5, 7, generator=generator, dtype=torch.float64)
    x, y = (torch.rand(1, 6, 4, generator=generator, dtype=torch.float64) * 12 - 3 for _ in range(2))
    x[0, 0], y[0, 0] = torch.tensor([-1.0, 0, 6, 7]), torch.tensor([0.0, 4, 4, 5])
    expected = torch.zeros(1, 2, 6, 4, dtype=torch.float64)
    for i, j in np.ndindex(6, 4):
        px, py = float(x[0, i, j]), float(y[0, i, j])
        for row in (math.floor(py), math.floor(py) + 1):
            for column in (math.floor(px), math.floor(px) + 1):
                if 0 <= row < 5 and 0 <= column < 7:
                    weight = (1 - abs(py - row)) * (1 - abs(px - column))
                    expected[0, :, i, j] += weight * features[0, :, row, column]
    assert torch.allclose(sample_map(features, x, y), expected)
    table = features[0].permute(1, 2, 0).flatten(0, 1)
    rows = sample_rows(table, (5, 7), x.flatten(), y.flatten())
    assert torch.allclose(rows.T.view(1, 2, 6, 4), expected)


def test_touched_lines_and_tables_that_begin_further_down():
    y, x = torch.tensor([4.0, 6.25, 7.5]), torch.tensor([0.0, 1.5, 2.0])
    assert lines_touched(y, 10) == (4, 8)
    assert lines_touched(y, 8) == (4, 7)
    assert lines_touched(torch.tensor([-9.0, 99.0]), 10) == (0, 9)
    assert lines_touched(torch.tensor([2.0, math.nan]), 10) == (0, 9)
    table = torch.randn(10 * 3, 2)
    whole = sample_rows(table, (10, 3), x, y)
    assert torch.equal(sample_rows(table[4 * 3 : 9 * 3], (10, 3), x, y, top=4), whole)


def test_source_positions_follow_the_equations():
    position, relative = source_positions(5, 2.0, torch.zeros(1, dtype=torch.float64))
    assert position.tolist() == [0.5, 2.5, 4.5, 6.5, 8.5]
    assert relative.tolist() == [-0.5] * 5
    # 0.1·(i + .5) reaches whole numbers only nearly: the tolerance keeps it from falling one short.
    _, relative = source_positions(3, 2 / 3, torch.zeros(1, dtype=torch.float64))
    assert relative.tolist() == pytest.approx([1 / 3 - 0.5, -0.5, 5 / 3 - 1.5])
