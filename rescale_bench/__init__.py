"""A plugin-based benchmark for image rescaling: downscale, 8-bit file, upscale, measure."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rescale_bench.api.hookspecs import hookimpl
    from rescale_bench.api.records import (
        ClaimsFile,
        Codec,
        Costs,
        Damage,
        Dataset,
        Features,
        ImageFile,
        Method,
        MethodRule,
        Metric,
        MetricFile,
        Option,
        Passage,
        Protocol,
        Rescaler,
        Sample,
        SetMetric,
        State,
        Traits,
        Value,
        WeightsFile,
    )
    from rescale_bench.api.registry import Registry, load_registry
    from rescale_bench.api.scales import NativeScales, lr_size, parse_scales
    from rescale_bench.errors import (
        CodecError,
        DamageError,
        ImageError,
        MethodError,
        NotNativeError,
        PluginError,
        RescaleBenchError,
        StoreError,
        UnavailableError,
        UndefinedValueError,
        UnknownNameError,
        UsageError,
        WeightsError,
    )
    from rescale_bench.networks.fixed_scale import FixedScaleRescaler
    from rescale_bench.networks.luma import LumaRescaler
    from rescale_bench.python.measuring import open_run, run, score
    from rescale_bench.python.results import Results
    from rescale_bench.roundtrip.conformance import Finding, verify
    from rescale_bench.runs.folder import read_table

__version__ = "0.1.0"

__all__ = [
    "ClaimsFile",
    "Codec",
    "CodecError",
    "Costs",
    "Damage",
    "DamageError",
    "Dataset",
    "Features",
    "Finding",
    "FixedScaleRescaler",
    "ImageError",
    "ImageFile",
    "LumaRescaler",
    "Method",
    "MethodError",
    "MethodRule",
    "Metric",
    "MetricFile",
    "NativeScales",
    "NotNativeError",
    "Option",
    "Passage",
    "PluginError",
    "Protocol",
    "Registry",
    "RescaleBenchError",
    "Rescaler",
    "Results",
    "Sample",
    "SetMetric",
    "State",
    "StoreError",
    "Traits",
    "UnavailableError",
    "UndefinedValueError",
    "UnknownNameError",
    "UsageError",
    "Value",
    "WeightsError",
    "WeightsFile",
    "__version__",
    "hookimpl",
    "load_registry",
    "lr_size",
    "open_run",
    "parse_scales",
    "read_table",
    "run",
    "score",
    "verify",
]

_HOMES = {
    "roundtrip.conformance": ("Finding", "verify"),
    "errors": tuple(name for name in __all__ if name.endswith("Error")),
    "api.hookspecs": ("hookimpl",),
    "api.records": (
        "ClaimsFile", "Codec", "Costs", "Damage", "Dataset", "Features", "ImageFile", "Method", "MethodRule", "Metric",
        "MetricFile", "Option", "Passage", "Protocol", "Rescaler", "Sample", "SetMetric", "State", "Traits", "Value",
        "WeightsFile",
    ),
    "networks.fixed_scale": ("FixedScaleRescaler",),
    "networks.luma": ("LumaRescaler",),
    "api.registry": ("Registry", "load_registry"),
    "api.scales": ("NativeScales", "lr_size", "parse_scales"),
    "runs.folder": ("read_table",),
    "python.measuring": ("open_run", "run", "score"),
    "python.results": ("Results",),
}  # fmt: skip
_HOME = {name: module for module, names in _HOMES.items() for name in names}

_MOVED = {
    "color": "images.color",
    "hookspecs": "api.hookspecs",
    "image": "images.files",
    "interfaces": "api.records",
    "plugin_manager": "api.registry",
    "resize": "images.resize",
    "scales": "api.scales",
    "specs": "api.specs",
    "store": "runs.folder",
}
"""Modules of version 0.1 that plugins may import by their old names; these names go in version 0.3."""


class _MovedModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Give the new module to who imports an old name, with a DeprecationWarning."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find the old names only."""
        del path, target
        package, _, name = fullname.rpartition(".")
        return importlib.machinery.ModuleSpec(fullname, self) if package == __name__ and name in _MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        """Put the new module in the place of the old one."""
        import warnings

        new = f"{__name__}.{_MOVED[module.__name__.rpartition('.')[2]]}"
        warnings.warn(f"{module.__name__} is now {new}", DeprecationWarning, stacklevel=2)
        sys.modules[module.__name__] = importlib.import_module(new)


sys.meta_path.append(_MovedModules())


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562): importing the package itself stays instant."""
    if name not in _HOME:
        raise AttributeError(f"module 'rescale_bench' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"rescale_bench.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, and the modules imported so far."""
    return sorted({*globals(), *__all__})
