import pytest

from rescale_bench.api.records import Option
from rescale_bench.api.specs import Spec, canonical, label, parse_list, parse_spec, resolve
from rescale_bench.errors import UnknownNameError, UsageError

OPTIONS = (
    Option("quality", 75, "of the file", low=1, high=100),
    Option("subsampling", "420", "of the colour planes", choices=("420", "444")),
    Option("optimize", False, "the tables"),
)


def test_options_belong_to_the_name_before_them():
    assert parse_list("irn:z=zero,weights=published,aidn", "-m") == [
        Spec("irn", (("z", "zero"), ("weights", "published"))),
        Spec("aidn"),
    ]
    assert [spec.name for spec in parse_list("png,jpeg:90,subsampling=444,webp:80", "--codecs")] == [
        "png",
        "jpeg",
        "webp",
    ]


def test_an_option_text_may_hold_a_colon():
    assert parse_spec("irn:weights=C:/nets/x4.safetensors", "-m").given == (("weights", "C:/nets/x4.safetensors"),)


def test_a_bare_value_is_the_first_option():
    values = resolve(parse_spec("jpeg:90,optimize=yes", "--codecs"), OPTIONS, "--codecs")
    assert values == {"quality": 90, "subsampling": "420", "optimize": True}
    assert canonical(values, OPTIONS) == "optimize=true,quality=90"
    assert label("jpeg", canonical(values, OPTIONS)) == "jpeg:optimize=true,quality=90"
    assert label("jpeg", canonical(resolve(Spec("jpeg"), OPTIONS, "f"), OPTIONS)) == "jpeg"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("jpeg:0", "outside 1 to 100"),
        ("jpeg:101", "outside 1 to 100"),
        ("jpeg:high", "not of type int"),
        ("jpeg:quality=nan", "not of type int"),
        ("jpeg:subsampling=411", "choose from 420, 444"),
        ("jpeg:optimize=maybe", "not of type bool"),
        ("jpeg:90,quality=80,quality=70", "gives quality twice"),
    ],
)
def test_wrong_values_are_refused_in_words(text, says):
    with pytest.raises(UsageError, match=says):
        resolve(parse_spec(text, "--codecs"), OPTIONS, "--codecs")


def test_a_misspelt_option_names_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean quality"):
        resolve(parse_spec("jpeg:qualty=3", "--codecs"), OPTIONS, "--codecs")


def test_names_without_options_refuse_them():
    with pytest.raises(UsageError, match="takes no options"):
        resolve(parse_spec("nearest:3", "-m"), (), "-m")


@pytest.mark.parametrize("text", ["", "a,,b", ":x", " :"])
def test_empty_entries_are_refused(text):
    with pytest.raises(UsageError):
        parse_list(text, "--methods")


def test_quotes_keep_commas_colons_and_equals_signs_together():
    (graph, other) = parse_list('graph:up="a,b:c=d.onnx",scale=2,"x:y,z.yaml"', "-m")
    assert graph == Spec("graph", (("up", "a,b:c=d.onnx"), ("scale", "2")))
    assert other == Spec("x:y,z.yaml")
    assert parse_list(graph.text, "-m") == [graph]
    with pytest.raises(UsageError, match="a quote is not closed"):
        parse_list('graph:up="a.onnx', "-m")
