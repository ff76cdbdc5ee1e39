"""The claims ledger: each test decides as scipy does by hand, and nothing is decided on too little."""

import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rescale_bench.api.registry import load_registry
from rescale_bench.checks import judge_claims, ledger, read_claims, shipped_claims
from rescale_bench.cli.main import main
from rescale_bench.errors import UsageError
from rescale_bench.statistics.paired import stratified, summarise, t_test_above
from rescale_bench.tables import render

REGISTRY = load_registry()
NOISE = np.random.default_rng(3).normal(size=(40, 12)).tolist()


def rows(
    method, values, *, scale="2", dataset="Set5", weights="", metric="psnr_y", codec="png", protocol="rgb8", **more
):
    return [
        {"method": method, "weights": weights, "dataset": dataset, "image": f"i{index}", "scale": scale, "codec": codec,
         "protocol": protocol, "metric": metric, "value": value, "status": "ok", "unit": "dB", **more}
        for index, value in enumerate(values)
    ]  # fmt: skip


def judge(tmp_path, text, *members, full=("published",)):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    frame = pd.DataFrame([row for member in members for row in member])
    return judge_claims(frame, read_claims([file], REGISTRY), REGISTRY, full)


def claim(name="mine", test="difference", methods="irn", against="car-edsr", scales="2", **keys):
    lines = {"claim": "It is so.", "source": "a paper", "test": test, "methods": methods, "metric": "psnr_y"}
    lines |= {"scales": scales} | ({"against": against} if test in ("difference", "ratio") else {}) | keys
    return f"{name}:\n" + "".join(f"  {key}: {value}\n" for key, value in lines.items())


def test_t_test_agrees_with_scipy_and_with_the_interval():
    values = [0.3, 0.1, 0.5, 0.2, 0.45]
    for bound in (0.0, 0.2, 0.31, 1.0):
        expected = stats.ttest_1samp(values, bound, alternative="greater").pvalue
        assert t_test_above(summarise(values), bound) == pytest.approx(expected, rel=1e-9)
    found = stratified({"a": values, "b": [0.1, 0.0, 0.3]})
    assert t_test_above(found, found.low) == pytest.approx(0.025, rel=1e-9)
    assert t_test_above(summarise([1.0, 1.0]), 0.5) == 0
    assert t_test_above(summarise([1.0, 1.0]), 1.0) == 1
    assert math.isnan(t_test_above(summarise([1.0]), 0.5))


def test_a_difference_is_upheld_open_or_contradicted_beyond_chance(tmp_path):
    noise = NOISE[0][:6]
    base = rows("car-edsr", [30.0] * 6, weights="published")
    ours = rows("irn", [31 + value / 5 for value in noise], weights="published")
    text = "".join(claim(f"above-{bound}", above=bound) for bound in (0, 1, 4))
    upheld, open_, contradicted = judge(tmp_path, text, base, ours)
    assert [one.outcome for one in (upheld, open_, contradicted)] == ["upheld", "open", "contradicted"]
    differences = [1 + value / 5 for value in noise]
    raw = [2 * stats.ttest_1samp(differences, bound, alternative=side).pvalue
           for bound, side in ((0, "greater"), (1, "greater"), (4, "less"))]  # fmt: skip
    raw[1] = min(raw[1], 2 - raw[1])
    order = sorted(raw)
    holm = [max(min(1, (3 - rank) * order[rank]) for rank in range(order.index(p) + 1)) for p in raw]
    assert [one.p for one in (upheld, open_, contradicted)] == pytest.approx(holm, rel=1e-9)
    assert upheld.part.found.n == 6
    assert upheld.part.found.mean == pytest.approx(np.mean(differences))


def test_holm_opens_what_a_single_test_would_uphold(tmp_path):
    def runs(index):
        return rows(f"m{index}", [30 + 0.45 + value for value in NOISE[index]])

    members = [rows("car-edsr", [30.0] * 12), *(runs(index) for index in range(20))]
    alone = [judge(tmp_path, claim(methods=f"m{index}", above=0), *members)[0].outcome for index in range(20)]
    text = "".join(claim(f"c{index}", methods=f"m{index}", above=0) for index in range(20))
    together = [one.outcome for one in judge(tmp_path, text, *members)]
    assert together.count("upheld") < alone.count("upheld")


def test_every_part_must_hold_and_the_weakest_is_shown(tmp_path):
    members = [
        *(rows("car-edsr", [30.0] * 6, scale=scale) for scale in ("2", "4")),
        rows("irn", [33 + value / 9 for value in NOISE[0][:6]], scale="2"),
        rows("irn", [30 + value for value in NOISE[1][:6]], scale="4"),
    ]
    (verdict,) = judge(tmp_path, claim(scales="2,4", above=0), *members)
    assert (verdict.outcome, verdict.part.at, verdict.parts) == ("open", "×4", 2)
    (alone,) = judge(tmp_path, claim(scales="2", above=0), *members)
    assert alone.outcome == "upheld"


def test_data_sets_weigh_equally_unless_the_claim_names_them(tmp_path):
    members = [
        rows("car-edsr", [30.0] * 5), rows("car-edsr", [30.0] * 12, dataset="Set14"),
        rows("irn", [32 + value / 50 for value in NOISE[0][:5]]),
        rows("irn", [31 + value / 50 for value in NOISE[1]], dataset="Set14"),
    ]  # fmt: skip
    (pooled,) = judge(tmp_path, claim(above=0), *members)
    assert pooled.part.found.n == 17
    assert pooled.part.found.mean == pytest.approx((np.mean(NOISE[0][:5]) / 50 + 2 + np.mean(NOISE[1]) / 50 + 1) / 2)
    (named,) = judge(tmp_path, claim(above=0, datasets="Set5,Set14"), *members)
    assert (named.parts, named.part.at) == (2, "×2 on Set5")  # with five images the weaker evidence
    (absent,) = judge(tmp_path, claim(above=0, datasets="Set5,Urban100"), *members)
    assert (absent.outcome, absent.part) == ("open", None)
    assert "irn and car-edsr at ×2 on Urban100" in absent.reason


def test_a_claim_whose_scales_were_measured_with_several_tags_says_what_lacks(tmp_path):
    # As where a tag ships for one scale alone: the longer trained weights are taken there.
    members = [
        rows(name, values[:6], scale=scale, weights=tag)
        for name, values in (("irn", NOISE[0]), ("car-edsr", NOISE[1]))
        for scale, tag in (("2", "base"), ("4", "small"))
    ]
    (verdict,) = judge(tmp_path, claim(above=0, scales="2,4"), *members)
    assert verdict.reason == "no rows of irn and car-edsr at ×4 with weights base"


def test_a_contradiction_at_a_small_budget_is_open_and_budgets_are_never_mixed(tmp_path):
    worse = [rows("irn", [29 + value / 9 for value in NOISE[0][:6]], weights="tiny"),
             rows("car-edsr", [30.0] * 6, weights="tiny")]  # fmt: skip
    (verdict,) = judge(tmp_path, claim(above=0), *worse)
    assert (verdict.outcome, verdict.weights) == ("open", "tiny")
    assert "by weights with little training (tiny)" in verdict.reason
    (trusted,) = judge(tmp_path, claim(above=0), *worse, full=["tiny"])
    assert trusted.outcome == "contradicted"
    mixed = [worse[0], rows("car-edsr", [20.0] * 6, weights="published")]
    (verdict,) = judge(tmp_path, claim(above=0), *mixed)
    assert (verdict.outcome, verdict.part) == ("open", None)
    assert "no weights of one budget: irn has tiny; car-edsr has published" in verdict.reason


def test_protocols_and_codecs_are_never_mixed(tmp_path):
    ours = rows("irn", [33 + value / 9 for value in NOISE[0][:6]])
    (verdict,) = judge(tmp_path, claim(above=0), ours, rows("car-edsr", [30.0] * 6, protocol="aidn"))
    assert (verdict.outcome, verdict.part) == ("open", None)
    (verdict,) = judge(tmp_path, claim(above=0), ours, rows("car-edsr", [30.0] * 6, codec="jpeg:quality=90"))
    assert (verdict.outcome, verdict.part) == ("open", None)
    lossy = [
        rows(name, values, codec="jpeg:quality=90") for name, values in (("irn", NOISE[0][:6]), ("car-edsr", [9] * 6))
    ]
    (verdict,) = judge(tmp_path, claim(below=0, codec="jpeg:90"), *lossy)
    assert verdict.outcome == "upheld"


@pytest.mark.parametrize("count", [1, 4])
def test_few_images_decide_nothing(tmp_path, count):
    members = [rows("irn", [40 + 0.01 * value for value in NOISE[0][:count]]), rows("car-edsr", [30.0] * count)]
    (verdict,) = judge(tmp_path, claim(above=0), *members)
    assert (verdict.outcome, verdict.part) == ("open", None)
    assert "irn and car-edsr at ×2 on 5 images or more" in verdict.reason


def test_random_weights_count_only_where_the_claim_says_so(tmp_path):
    members = [
        rows(name, [value] * 5, weights="random", metric="params") for name, value in (("irn", 10), ("car-edsr", 40))
    ]
    text = claim(test="ratio", below=0.5)
    (verdict,) = judge(tmp_path, text.replace("psnr_y", "params"), *members)
    assert verdict.part is None
    (verdict,) = judge(tmp_path, text.replace("psnr_y", "params") + "  weights: random\n", *members)
    assert verdict.outcome == "upheld"
    assert math.exp(verdict.part.found.mean) == pytest.approx(0.25)


def test_metrics_add_up(tmp_path):
    members = [rows(name, [value + index for index in range(5)], metric=metric)
               for name, values in (("irn", (1, 2)), ("car-edsr", (4, 8)))
               for metric, value in zip(("macs_down", "macs_up"), values, strict=True)]  # fmt: skip
    (verdict,) = judge(tmp_path, claim(below=0).replace("psnr_y", "macs_down + macs_up"), *members)
    assert verdict.part.found.mean == pytest.approx(3 - 12)


def test_a_step_over_scales_is_seen_and_a_smooth_fall_is_not(tmp_path):
    def falling(step):
        def line(scale):
            return 50 - 12 * math.log2(scale / 10) - step * (scale > 20)

        return [
            rows("aidn", [line(scale) + 0.01 * value for value in NOISE[scale][:5]], scale=f"{scale / 10:g}")
            for scale in range(11, 31)
        ]

    text = claim("smooth", test="smooth", methods="aidn", scales="every", within=1)
    step = claim("step", test="smooth", methods="aidn", scales="2", above=1)
    smooth, stepped = judge(tmp_path, text + step, *falling(0))
    assert smooth.outcome == "upheld"
    assert smooth.parts == 18
    assert stepped.outcome == "contradicted"
    smooth, stepped = judge(tmp_path, text + step, *falling(4))
    assert smooth.outcome == "contradicted"
    assert smooth.part.at in ("×2", "×2.1")
    assert stepped.outcome == "upheld"
    few = judge(tmp_path, text, *falling(0)[:5])[0]
    assert "aidn at 8 scales or more" in few.reason


def test_draws_of_z_are_compared_over_seeds(tmp_path):
    members = [
        rows("irn", [30 + 0.01 * seed + 0.001 * value for value in NOISE[seed][:6]], seed=seed) for seed in (0, 1, 2)
    ]
    text = claim(test="draws", below=0.05)
    (verdict,) = judge(tmp_path, text, *members)
    assert verdict.outcome == "upheld"
    values = np.array([[row["value"] for row in member] for member in members])
    assert verdict.part.found.mean == pytest.approx(np.mean(values.max(0) - values.min(0)))
    (one,) = judge(tmp_path, text, members[0])
    assert one.part is None


def test_every_claim_of_the_papers_reads_and_says_how_to_measure_it(tmp_path):
    claims = read_claims([shipped_claims()], REGISTRY)
    assert len(claims) >= 30
    assert all(one.statement.endswith(".") and one.command().startswith("rescale-bench run -m ") for one in claims)
    nothing = judge_claims(pd.DataFrame(rows("nothing", [1.0])), claims, REGISTRY)
    assert {one.outcome for one in nothing} == {"open"}
    assert all(one.reason.startswith("no rows of") for one in nothing)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (claim(above=0, colour="red"), "mine: unknown key of a claim 'colour'"),
        (claim(test="guess", above=0), "unknown test 'guess'"),
        (claim(), "give above, below"),
        (claim(above="much"), "above is 'much', no number"),
        (claim(above=2, below=1), "nothing is above 2 and below 1"),
        (claim(above=0, scales="two"), "'two' is not a number"),
        (claim(test="value", above=0) + "  against: irn\n", "takes no 'against'"),
        ("mine:\n  claim: x\n", "lacks source, test"),
        ("mine: x\n", "a claim is lines of"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name_and_the_claim(tmp_path, text, words):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(UsageError) as error:
        read_claims([file], REGISTRY)
    assert str(error.value).startswith(f"{file}, mine")
    assert words in str(error.value)


def test_a_name_stands_once(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(claim("irn-z", above=0))
    with pytest.raises(UsageError, match="irn-z stands in another file"):
        read_claims([shipped_claims(), file], REGISTRY)


def test_the_verb_reads_claims_of_the_user_and_of_a_plugin(tmp_path, capsys):
    run = tmp_path / "run.csv"
    members = rows("irn", [33 + value / 9 for value in NOISE[0][:6]]) + rows("car-edsr", [30.0] * 6)
    pd.DataFrame(members).to_csv(run, index=False)
    (tmp_path / "mine.yaml").write_text(claim(above=0))
    (tmp_path / "theirs.yaml").write_text(claim("theirs", above=1))
    plugin = tmp_path / "claims_plugin.py"
    plugin.write_text(
        "from pathlib import Path\nfrom rescale_bench import ClaimsFile, hookimpl\n\n@hookimpl\n"
        "def rescale_bench_claims():\n"
        "    yield ClaimsFile(name='theirs', file=Path(__file__).with_name('theirs.yaml'))\n"
    )
    words = [str(run), "--claims", str(tmp_path / "mine.yaml"), "--plugin", str(plugin), "--only", "mine,theirs"]
    assert main(["claims", *words, "--format", "json"]) == 0
    found = {one["claim"]: one for one in json.loads(capsys.readouterr().out)}
    assert {name: one["verdict"] for name, one in found.items()} == {"mine": "upheld", "theirs": "upheld"}
    assert found["mine"]["low"] < found["mine"]["effect"] < found["mine"]["high"]
    assert main(["claims", *words, "--commands"]) == 0
    assert "run -m irn,car-edsr -s 2" in capsys.readouterr().out
    assert main(["claims", str(run), "--only", "irn-color"]) == 4
    assert main(["claims", str(run), "--only", "irn-colour"]) == 2
    assert "did you mean irn-color" in capsys.readouterr().err


def test_all_formats_name_each_claim(tmp_path):
    verdicts = judge(tmp_path, claim(above=0) + claim("other", methods="fgrn", above=0),
                     rows("irn", NOISE[0][:6]), rows("car-edsr", [0.0] * 6))  # fmt: skip
    assert dataclasses.asdict(verdicts[0])["parts"] == 1
    for form in ("plain", "markdown", "html", "json", "csv"):
        text = render(ledger(verdicts), form)
        assert "mine" in text
        assert "other" in text
