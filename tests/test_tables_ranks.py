"""Ranks with ties: separable methods in order, inseparable ones together, against scipy's tests."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rescale_bench.cli import main
from rescale_bench.errors import UsageError
from rescale_bench.tables import render
from rescale_bench.tables.ranks import rank_board, rank_methods
from rescale_bench.tables.rows import prepare
from rescale_bench.tables.seeds import seed_spreads

BASE = np.random.default_rng(0).normal(30, 4, 120)


def rows(method, values, dataset="Set14", scale="2", metric="psnr_y", direction="up", **changes):
    return [
        {
            "method": method, "options": "", "weights": "", "dataset": dataset, "image": f"i{index}", "scale": scale,
            "codec": "png", "protocol": "rgb8", "protocol_version": 1, "metric": metric, "value": value,
            "status": "ok", "direction": direction, "unit": "dB", "decimals": 3, "repeatable": True, **changes,
        }
        for index, value in enumerate(values)
    ]  # fmt: skip


def gain(mean, sd=0.1, n=14, seed=1):
    return BASE[:n] + np.random.default_rng(seed).normal(mean, sd, n)


def frame(*lists):
    return pd.DataFrame([row for one in lists for row in one])


def places(ranking):
    return {rank.label: rank.text for rank in ranking.ranks}


def test_clear_differences_rank_in_order_and_noise_ties():
    found = rank_methods(
        frame(
            rows("bicubic", BASE[:14]), rows("good", gain(1.0)), rows("alike", gain(1.0, seed=2)), rows("bad", gain(-2))
        )
    )
    assert len(found) == 1
    assert places(found[0])["bicubic"] == "3"
    assert places(found[0])["bad"] == "4"
    assert places(found[0])["good"] == places(found[0])["alike"] == "1–2"
    assert any("not separable on 14 images" in note for note in found[0].notes)


def test_five_images_separate_nothing():
    found = rank_methods(frame(rows("a", BASE[:5]), rows("b", BASE[:5] + 9), rows("c", BASE[:5] - 9)))[0]
    assert set(places(found).values()) == {"1–3"}
    assert [rank.label for rank in found.ranks] == ["b", "a", "c"]
    assert all(rank.p is None and rank.wilcoxon is None for rank in found.ranks)
    assert "not separable on 5 images" in found.notes[0]


def test_p_values_equal_scipy_with_holm_over_all_pairs():
    values = {"a": BASE[:9], "b": gain(0.2, 0.3, 9, 3), "c": gain(0.5, 0.3, 9, 4)}
    found = rank_methods(frame(*(rows(name, one) for name, one in values.items())))[0]
    best = found.ranks[0].label

    def p_value(one, other):
        return stats.permutation_test(
            (values[one] - values[other],), lambda x, axis: np.mean(x, axis=axis), permutation_type="samples",
            vectorized=True, n_resamples=2**9,
        ).pvalue  # fmt: skip

    raw = sorted(p_value(*pair) for pair in (("a", "b"), ("a", "c"), ("b", "c")))
    holm = [max(min(1, (3 - k) * raw[k]) for k in range(rank + 1)) for rank in range(3)]
    for rank in found.ranks[1:]:
        raw_p = p_value(best, rank.label)
        assert rank.p == pytest.approx(holm[raw.index(raw_p)], abs=1e-9)
        gap = values[rank.label] - values[best]
        assert rank.wilcoxon == pytest.approx(stats.wilcoxon(gap).pvalue)
        assert rank.difference.mean == pytest.approx(gap.mean())
        assert rank.difference.wins == int((gap > 0).sum())


def test_lower_is_better_where_the_metric_says_so():
    found = rank_methods(
        frame(rows("a", BASE[:14], direction="down"), rows("b", BASE[:14] - 1, direction="down")), ["psnr_y"]
    )[0]
    assert places(found) == {"b": "1", "a": "2"}
    assert found.ranks[1].difference.wins == 0


def test_random_weights_and_other_images_get_no_rank():
    found = rank_methods(
        frame(
            rows("a", BASE[:14]), rows("b", BASE[:14] + 1), rows("drawn", BASE[:14] + 9, weights="random"),
            rows("short", BASE[:10] + 9),
        )
    )[0]  # fmt: skip
    assert set(places(found)) == {"a", "b"}
    assert any("drawn" in text and "not trained" in text for text in found.left_out)
    assert any("short" in text and "10 of 14" in text for text in found.left_out)


def test_fifty_images_get_a_bca_interval():
    found = rank_methods(frame(rows("a", BASE), rows("b", gain(0.5, 0.3, 120))))[0]
    rank = found.ranks[1]
    assert rank.low < rank.difference.mean < rank.high < 0
    assert "BCa 95 %" in render(rank_board([found]))


def test_data_sets_weigh_equally_and_are_named():
    small, large = BASE[:7], BASE[20:120]
    found = rank_methods(
        frame(
            rows("a", small, "Set7"), rows("b", small + 1.0, "Set7"), rows("a", large, "Set100"),
            rows("b", large - 0.5, "Set100"),
        )
    )  # fmt: skip
    both = found[-1]
    assert both.group.dataset == "Set100 + Set7, equal weight"
    assert [rank.label for rank in both.ranks] == ["b", "a"]  # by images a would lead
    assert both.ranks[1].difference.mean == pytest.approx(-0.25)
    assert both.images == 107


def test_protocols_scales_and_codecs_stay_apart():
    found = rank_methods(
        frame(*(rows(name, BASE[:8] + shift, **{key: value}) for name, shift in (("a", 0), ("b", 1))
                for key, value in (("scale", "2"), ("scale", "3"), ("codec", "jpeg:quality=90"), ("protocol", "car"))))
    )  # fmt: skip
    assert len(found) == 4
    assert len(rank_board(found).sections) == 3


def test_nothing_to_rank_is_an_error():
    with pytest.raises(UsageError, match="no two methods"):
        rank_methods(frame(rows("a", BASE[:8])))
    with pytest.raises(UsageError, match="name the metrics"):
        rank_methods(frame(rows("a", BASE[:8], metric="own")))


@pytest.mark.parametrize("form", ["plain", "markdown", "latex", "html", "csv", "json"])
def test_every_format(form, tmp_path, capsys):
    path = tmp_path / "run.parquet"
    frame(rows("a", BASE[:8]), rows("b", BASE[:8] + 1)).to_parquet(path)
    assert main(["table", "-i", str(path), "--rank", "--format", form]) == 0
    text = capsys.readouterr().out
    assert "b" in text
    if form == "json":
        found = json.loads(text)
        assert [(one["method"], one["rank_best"], one["rank_worst"]) for one in found] == [("b", 1, 1), ("a", 2, 2)]
        assert found[1]["p_holm"] == 2 / 256


# --- seeds ---------------------------------------------------------------------------


def seeded(place):
    """Three seeds of a method whose mean moves by 0.13 dB a step, in the seed column or in its options."""
    changes = {"column": lambda seed: {"seed": seed}, "option": lambda seed: {"options": f"a=1,seed={seed}"}}[place]
    return [rows("drawn", BASE[:8] + 1 + 0.13 * seed, **changes(seed)) for seed in range(3)]


@pytest.mark.parametrize(("place", "label"), [("column", "drawn"), ("option", "drawn:a=1")])
def test_the_spread_over_seeds_stands_apart_from_the_interval_over_images(place, label):
    data = frame(rows("bicubic", BASE[:8]), *seeded(place))
    (found,) = rank_methods(data)
    by_label = {rank.label: rank for rank in found.ranks}
    assert set(by_label) == {label, "bicubic"}
    rank = by_label[label]
    assert rank.mean == pytest.approx(BASE[:8].mean() + 1.13)  # the mean over seeds is what is compared
    assert rank.spread.seeds == 3
    assert rank.spread.sd == pytest.approx(np.std([0, 0.13, 0.26], ddof=1))
    assert by_label["bicubic"].spread is None
    text = render(rank_board([found]))
    assert "0.13 (3)" in text
    assert "it is no part of the interval" in text
    record = next(one for one in json.loads(render(rank_board([found]), "json")) if one["method"] == label)
    assert (record["seeds"], record["sd_over_seeds"]) == (3, pytest.approx(0.13))


def test_the_spread_is_over_images_that_all_seeds_share():
    first, second = rows("drawn", BASE[:8], seed=0), rows("drawn", BASE[:8] + 1, seed=1)
    second[0]["value"] = np.inf
    spread = seed_spreads(prepare(frame(rows("bicubic", BASE[:8]), first, second)))
    assert [one.sd for one in spread.values()] == [pytest.approx(np.std([0, 1], ddof=1))]
    assert "SD over seeds" not in render(rank_board(rank_methods(frame(rows("a", BASE[:8]), rows("b", BASE[:8] + 1)))))
