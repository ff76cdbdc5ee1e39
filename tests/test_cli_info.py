"""`list` and `info`: what there is, and all about each thing that a name stands for."""

import json

import pytest

from rescale_bench.cli import main


def info(capsys, name):
    assert main(["info", name, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_name_of_several_things_shows_them_all(capsys):
    method, protocol = info(capsys, "aidn")
    assert method["native scales"] == "(1, 4]"
    assert protocol["mod_crop"] == "12"
    assert main(["info", "aidn"]) == 0
    blocks = capsys.readouterr().out.split("\n\n")
    assert [block.split()[0] for block in blocks] == ["method", "protocol"]


def test_a_tag_means_the_method_and_its_weights_alone(capsys):
    facts = info(capsys, "aidn@base")
    assert facts["method"] == "aidn"
    assert [line.partition(":")[0] for line in facts["weights here"] if line[0] != " "] == ["base any"]
    assert facts["weights known"] == []
    assert main(["info", "irn@bas"]) == 2
    assert "unknown weights of irn 'bas': did you mean base?" in capsys.readouterr().err


def test_what_begins_with_the_name_is_pointed_at(capsys):
    facts = info(capsys, "car")
    assert facts["protocol"] == "car"
    assert facts["see also"] == ["car-edsr"]


@pytest.mark.parametrize(
    ("name", "kind", "title"),
    [
        ("set5@mod12", "dataset", "Set5@mod12"),
        ("piqe_lr@pyiqa", "metric", "piqe_lr@pyiqa"),
        ("rgb8:border=0", "protocol", "rgb8:border=0"),
        ("bicubic+edsr", "method", "bicubic+edsr"),
        ("png", "codec", "png"),
        ("noise", "damage", "noise"),
    ],
)
def test_each_kind_of_name(name, kind, title, capsys):
    assert info(capsys, name)[kind] == title


def test_an_unknown_name_is_one_line(capsys):
    assert main(["info", "bicubik"]) == 2
    assert "unknown name 'bicubik': did you mean bicubic?" in capsys.readouterr().err


def test_list_groups_methods_by_family_and_says_where_their_weights_are(capsys):
    assert main(["list", "methods"]) == 0
    lines = capsys.readouterr().out.splitlines()
    titles = [line.strip() for line in lines if line.startswith("  ") and not line.startswith("   ")]
    assert titles == ["rescalers", "super-resolution halves", "resamplers", "wrappers", "ceilings"]

    def under(name):
        (place,) = (index for index, line in enumerate(lines) if line.split()[0] == name)
        return [line.strip() for line in lines[:place] if line.strip() in titles][-1], lines[place]

    families = {"irn": 0, "graph": 0, "edsr": 1, "zoo": 1, "bicubic": 2, "dpid": 2, "DOWN+UP": 3, "identity-type3": 4}
    assert {name: under(name)[0] for name in families} == {name: titles[place] for name, place in families.items()}
    assert under("irn")[1].endswith("; weights: ships base; import published; train")
    assert under("irn-du")[1].endswith("; weights: train")
    assert under("san")[1].endswith("; weights: import published")
    assert under("zoo")[1].endswith("; weights: your file")
    assert "weights" not in under("bicubic")[1]
