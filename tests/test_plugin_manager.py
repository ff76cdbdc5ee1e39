import importlib.metadata
import sys

import pytest

from rescale_bench.api.registry import load_registry
from rescale_bench.api.specs import parse_spec
from rescale_bench.errors import PluginError, UnknownNameError, UsageError

TOY = """
from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Method
from rescale_bench.api.scales import NativeScales

@hookimpl
def rescale_bench_methods():
    yield Method(name="{name}", summary="toy", citation="none", scales=NativeScales.of(2), build=lambda *a: None)
"""


@pytest.fixture(scope="module")
def registry():
    return load_registry()


def plugin(folder, text, name="toy"):
    path = folder / f"{name}.py"
    path.write_text(text)
    return str(path)


def test_everything_built_in_is_there(registry):
    assert {"bicubic", "lanczos3", "irn", "aidn", "fgrn", "car-edsr", "edsr"} <= set(registry.methods)
    assert {"photos", "Set5", "BSD100", "Kodak24"} <= set(registry.datasets)
    assert {"png", "jpeg", "jpegls", "jp2", "jxl", "webp"} <= set(registry.codecs)
    assert {"psnr_y", "ssim_rgb", "piqe_lr", "bpp_png", "bpp_lr_jxl", "params"} <= set(registry.metrics)
    assert registry.origin("methods", "bicubic") == "classic"


def test_rules_make_methods(registry):
    assert registry.method("bicubic+lanczos3").name == "bicubic+lanczos3"
    assert registry.method("bicubic-type3").name == "bicubic-type3"
    wrapped = registry.method("bicubic+edsr-type1")
    assert wrapped.halves == {"down", "up"}
    assert str(wrapped.scales) == "(1, 4]"


def test_half_a_method_says_how_to_pair_it(registry):
    with pytest.raises(UsageError, match=r"pair it, for example bicubic\+edsr"):
        registry.choose_method(parse_spec("edsr", "-m"))
    with pytest.raises(UsageError, match="has no downscaler"):
        registry.method("edsr+bicubic")


def test_near_names_are_offered(registry):
    with pytest.raises(UnknownNameError, match="did you mean bicubic"):
        registry.method("bicubik")
    with pytest.raises(UsageError, match="did you mean bicubic"):
        registry.method("bicubik-type3")


def test_a_file_plugin_joins_in(tmp_path):
    assert load_registry([plugin(tmp_path, TOY.format(name="mine"))]).method("mine").summary == "toy"


def test_a_second_owner_of_a_name_is_named(tmp_path):
    with pytest.raises(PluginError, match=r"plugin 'toy .*'bicubic' is already registered by 'classic'"):
        load_registry([plugin(tmp_path, TOY.format(name="bicubic"))])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import nothing_like_this", "toy.*ModuleNotFoundError"),
        ("def broken(:", "toy.*SyntaxError"),
        (TOY.replace("rescale_bench_methods", "rescale_bench_method").format(name="x"), "toy.*unknown hook"),
        (TOY.replace("rescale_bench_methods():", "rescale_bench_methods(wrong):").format(name="x"), "toy.*wrong"),
        (TOY.format(name="two words"), "is not a name"),
        (TOY.replace("yield Method(", "yield dict(").format(name="x"), "yielded dict, not Method"),
        (TOY.replace("yield Method", "raise RuntimeError('boom'); yield Method").format(name="x"), "toy.*boom"),
    ],
)
def test_broken_plugins_fail_by_name(tmp_path, text, says):
    with pytest.raises(PluginError, match=says):
        load_registry([plugin(tmp_path, text)])


def test_a_missing_plugin_file_is_named(tmp_path):
    with pytest.raises(PluginError, match=r"none\.py does not exist"):
        load_registry([str(tmp_path / "none.py")])


def test_broken_and_duplicate_entry_points_fail_by_name(monkeypatch):
    real = importlib.metadata.entry_points
    entry = importlib.metadata.EntryPoint

    def with_entries(*added):
        monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [*real(group=group), *added])

    with_entries(entry("bad", "no_such_module_at_all", "rescale_bench"))
    with pytest.raises(PluginError, match=r"'bad' .*RESCALE_BENCH_DISABLE=bad"):
        load_registry()
    monkeypatch.setenv("RESCALE_BENCH_DISABLE", "bad")
    assert "bicubic" in load_registry().methods
    with_entries(entry("classic", "other_package.classic", "rescale_bench"))
    with pytest.raises(PluginError, match="two installed plugins are called 'classic'"):
        load_registry()


def test_listing_imports_nothing_heavy():
    import subprocess

    code = (
        "import sys; from rescale_bench.cli import main; "
        "assert main(['list']) == 0; assert main(['info', 'irn']) == 0; assert main(['info', 'rgb8']) == 0; "
        "print(sorted({'torch', 'pandas', 'skimage', 'pyiqa', 'scipy', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
