"""A plugin-based benchmark for image rescaling: downscale, 8-bit file, upscale, measure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rescale_bench.conformance import Finding, verify
    from rescale_bench.errors import (
        CodecError,
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
    from rescale_bench.hookspecs import hookimpl
    from rescale_bench.interfaces import (
        Codec,
        Costs,
        Dataset,
        ImageFile,
        Method,
        MethodRule,
        Metric,
        Option,
        Protocol,
        Rescaler,
        Sample,
        State,
        Value,
        WeightsFile,
    )
    from rescale_bench.networks.fixed_scale import FixedScaleRescaler
    from rescale_bench.plugin_manager import Registry, load_registry
    from rescale_bench.scales import NativeScales, lr_size, parse_scales
    from rescale_bench.store import read_table

__version__ = "0.1.0"

__all__ = [
    "Codec",
    "CodecError",
    "Costs",
    "Dataset",
    "Finding",
    "FixedScaleRescaler",
    "ImageError",
    "ImageFile",
    "Method",
    "MethodError",
    "MethodRule",
    "Metric",
    "NativeScales",
    "NotNativeError",
    "Option",
    "PluginError",
    "Protocol",
    "Registry",
    "RescaleBenchError",
    "Rescaler",
    "Sample",
    "State",
    "StoreError",
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
    "parse_scales",
    "read_table",
    "verify",
]

_HOMES = {
    "conformance": ("Finding", "verify"),
    "errors": tuple(name for name in __all__ if name.endswith("Error")),
    "hookspecs": ("hookimpl",),
    "interfaces": (
        "Codec", "Costs", "Dataset", "ImageFile", "Method", "MethodRule", "Metric", "Option", "Protocol", "Rescaler",
        "Sample", "State", "Value", "WeightsFile",
    ),
    "networks.fixed_scale": ("FixedScaleRescaler",),
    "plugin_manager": ("Registry", "load_registry"),
    "scales": ("NativeScales", "lr_size", "parse_scales"),
    "store": ("read_table",),
}  # fmt: skip
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562): importing the package itself stays instant."""
    if name not in _HOME:
        raise AttributeError(f"module 'rescale_bench' has no attribute '{name}'")
    import importlib

    value = getattr(importlib.import_module(f"rescale_bench.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, and the modules imported so far."""
    return sorted({*globals(), *__all__})
