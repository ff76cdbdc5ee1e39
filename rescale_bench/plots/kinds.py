"""The kinds of figures, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rescale_bench.errors import UnknownNameError, UsageError
from rescale_bench.plots.compose import Plan, compose
from rescale_bench.plots.examples import Example, find_examples
from rescale_bench.plots.filters import Options, Selection, select
from rescale_bench.plots.lr_views import plan_lr_difference, plan_spectrum
from rescale_bench.plots.network_views import plan_kernels, plan_latent, plan_routing
from rescale_bench.plots.rate import plan_rate
from rescale_bench.plots.scale import plan_scale
from rescale_bench.plots.scatter import SECONDS, plan_cost, plan_lr, plan_parameters
from rescale_bench.plots.strip import plan_strip

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from rescale_bench.api.registry import Registry
    from rescale_bench.runs.folder import Run

KINDS: Mapping[str, str] = {
    "scale": "quality over scale, a line per method with its paired interval",
    "rate-distortion": "quality over bits per HR pixel, a curve per method, direct JPEG beside it",
    "cost": "quality against seconds per megapixel",
    "parameters": "quality against the number of parameters",
    "lr": "quality of the HR against fidelity of the LR",
    "strip": "quality image by image",
}
VIEWS: Mapping[str, str] = {
    "lr-difference": "one image: where each LR differs from the bicubic one",
    "spectrum": "one image: power spectrum of HR and LR",
    "z": "one image, one method: what draws of the latent change",
    "kernels": "one image, one method: the kernels that make LR pixels",
    "routing": "one method: the share of each expert over scale",
}
"""Pictures of how methods work, drawn from images and networks rather than from rows."""
MOST = 24
"""More panels than this are nothing that anybody reads."""


def figure(
    kind: str,
    frame: pd.DataFrame,
    *,
    direct: Mapping[Any, Any] | None = None,
    absent: Sequence[str] = (),
    **options: Any,
) -> Figure:
    """Draw a kind of figure from a run's tidy rows.

    direct: (data set, scale) → DirectCurve, drawn by rate-distortion; absent: why there is none elsewhere, noted below
    it. options: the fields of
    rescale_bench.plots.filters.Options (metrics, datasets, methods, scales, codecs, protocol, reference, relative).
    Raises UnknownNameError for names that the run lacks, UsageError where several protocols or nothing is left.
    """
    if kind not in KINDS:
        raise UnknownNameError("kind of figure", kind, KINDS)
    asked = Options(**options)
    if asked.relative and kind in ("rate-distortion", "cost", "parameters", "lr"):
        raise UsageError(f"{kind} is drawn in absolute values; use it with scale or strip", "relative")
    selection = _select(kind, frame, asked)
    if asked.relative and selection.reference is None:
        raise UsageError(f"the run lacks the reference {asked.reference}; name another", "reference")
    plan = _plan(kind, selection, asked, direct or {}, absent)
    if not plan.panels:
        raise UsageError(f"there is nothing to draw: no method has values for {kind} on the same images as the others")
    if len(plan.panels) > MOST:
        raise UsageError(f"{len(plan.panels)} panels are too many to read: choose with --datasets, --scales, --metric")
    return compose(plan)


def view(kind: str, run: Run, frame: pd.DataFrame, plugins: Registry, *, image: str = "", **options: Any) -> Figure:
    """Draw a picture of how methods work, from what a run kept, or by one forward pass of its methods.

    kind: of VIEWS. image: of the run; by default its first. options: as for figure. Raises UsageError.
    """
    if kind not in VIEWS:
        raise UnknownNameError("kind of picture", kind, VIEWS)
    plans: dict[str, Callable[[Sequence[Example]], Plan]] = {
        "lr-difference": plan_lr_difference, "spectrum": plan_spectrum, "z": plan_latent, "kernels": plan_kernels,
        "routing": plan_routing,
    }  # fmt: skip
    return compose(plans[kind](find_examples(run, frame, plugins, Options(**options), image)))


def _select(kind: str, frame: pd.DataFrame, asked: Options) -> Selection:
    needs: dict[str, Sequence[str]] = {
        "rate-distortion": ("bpp",), "cost": SECONDS, "parameters": ("params",), "lr": (asked.fidelity,),
    }  # fmt: skip
    for name in needs.get(kind, ()):
        if name not in {str(metric).partition(":")[0] for metric in frame["metric"].unique()}:
            raise UsageError(
                f"{kind} needs the metric {name}, which this run lacks: "
                f"run the same command again with {name} in --metrics"
            )
    return select(frame, asked, needs.get(kind, ()))


def _plan(kind: str, selection: Selection, asked: Options, direct: Mapping[Any, Any], absent: Sequence[str]) -> Plan:
    plans: dict[str, Callable[[], Plan]] = {
        "scale": lambda: plan_scale(selection, asked),
        "rate-distortion": lambda: plan_rate(selection, asked, direct, absent),
        "cost": lambda: plan_cost(selection, asked),
        "parameters": lambda: plan_parameters(selection, asked),
        "lr": lambda: plan_lr(selection, asked),
        "strip": lambda: plan_strip(selection, asked),
    }
    return plans[kind]()
