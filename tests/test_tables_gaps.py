import pytest
from scipy import stats
from test_tables import cells, frame, line, rows

from rescale_bench.errors import UnknownNameError, UsageError
from rescale_bench.tables import leaderboard
from rescale_bench.tables.gaps import with_gaps

TOP, LOW = [40.0, 45.0, 43.0], [30.0, 32.0, 37.0]


def board(*scales):
    parts = [
        rows(name, values, scale=scale, ceiling=name != "bicubic")
        for scale in scales
        for name, values in (("ceiling-jxl", TOP), ("bicubic", LOW))
    ]
    return leaderboard(frame(*parts))


def test_the_gap_is_the_paired_difference_to_the_ceiling():
    made = with_gaps(board("2", "4"), "ceiling-jxl")
    interval = stats.ttest_rel(TOP, LOW).confidence_interval(0.95)
    (record,) = (one for one in made.records if (one["method"], one["scale"]) == ("bicubic", "4"))
    assert record["gap"] == pytest.approx(29 / 3)
    assert (record["gap_low"], record["gap_high"]) == pytest.approx((interval.low, interval.high))
    assert line(made, "bicubic")["gap [dB]\nto ceiling"].text.startswith("+9.7 ± ")
    assert line(made, "ceiling-jxl")["gap [dB]\nto ceiling"].text == "ceiling"
    assert len(cells(made)) == 4
    assert any(note.startswith("gap: ceiling-jxl minus the method") for note in made.sections[0].notes)
    assert all(record["gap"] is None for record in made.records if record["method"] == "ceiling-jxl")


def test_what_has_no_gap_says_so():
    with pytest.raises(UnknownNameError, match="ceiling-jx2"):
        with_gaps(board("2"), "ceiling-jx2")
    with pytest.raises(UsageError, match="choose fewer"):
        with_gaps(board("1.1", "1.5", "2", "3", "4"), "ceiling-jxl")
