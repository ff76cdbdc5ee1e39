from decimal import Decimal

import pytest

from rescale_bench.api.protocol_switches import with_switches
from rescale_bench.api.specs import parse_spec
from rescale_bench.errors import UnknownNameError, UsageError
from rescale_bench.protocols.named import PROTOCOLS, RGB8, border, crop_multiple


def switched(text):
    return with_switches(RGB8, parse_spec(text, "--protocol"))


def test_border_is_the_ceiling_of_the_scale():
    assert [border("scale", Decimal(text)) for text in ("1.1", "2", "2.5", "4")] == [2, 2, 3, 4]
    assert border("0", Decimal(4)) == 0


def test_a_border_may_add_to_the_scale():
    assert [border("scale+6", Decimal(text)) for text in ("2", "2.5", "4")] == [8, 9, 10]
    assert switched("rgb8:border=scale+6").border == "scale+6"


def test_crops_follow_the_table_of_the_spec():
    by_name = {protocol.name: protocol for protocol in PROTOCOLS}
    assert [crop_multiple(by_name[name], Decimal(3)) for name in ("rgb8", "car", "aidn", "rgb8-whole")] == [3, 8, 12, 1]
    assert crop_multiple(RGB8, Decimal("1.5")) == 1


def test_a_changed_switch_is_in_the_name():
    assert switched("rgb8:luma=full,border=0").name == "rgb8:border=0,luma=full"
    assert switched("rgb8:border=none").border == "0"
    assert switched("rgb8").name == "rgb8"
    assert switched("rgb8:border=scale") == RGB8


@pytest.mark.parametrize(
    "text",
    [
        "rgb8:luma=rec2020",
        "rgb8:border=wide",
        "rgb8:border=scale+",
        "rgb8:mod_crop=scale+6",
        "rgb8:mod_crop=0",
        "rgb8:sr_rounding=up",
    ],
)
def test_wrong_switches_are_refused(text):
    with pytest.raises(UsageError, match=r"choose from|give scale") as refused:
        switched(text)
    assert refused.value.about == "protocol"


def test_unknown_switches_name_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean border"):
        switched("rgb8:boarder=0")
