"""The hooks a plugin may implement; each yields frozen records and does no work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pluggy

from rescale_bench.api.records import (
    ClaimsFile,
    Codec,
    Damage,
    Dataset,
    Method,
    MethodRule,
    Metric,
    Protocol,
    SetMetric,
)

PROJECT = "rescale_bench"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def rescale_bench_methods() -> Iterable[Method]:
    """Yield rescaling methods."""
    return ()


@hookspec
def rescale_bench_method_rules() -> Iterable[MethodRule]:
    """Yield rules that make methods out of others by name (`NAME-type3`, `DOWN+UP`)."""
    return ()


@hookspec
def rescale_bench_datasets() -> Iterable[Dataset]:
    """Yield data sets."""
    return ()


@hookspec
def rescale_bench_codecs() -> Iterable[Codec]:
    """Yield file formats for the LR."""
    return ()


@hookspec
def rescale_bench_damages() -> Iterable[Damage]:
    """Yield what may happen to an LR image between the halves."""
    return ()


@hookspec
def rescale_bench_metrics(codecs: Sequence[Codec]) -> Iterable[Metric | SetMetric]:
    """Yield metrics. codecs: those of all plugins; an implementation that does not use them takes no argument."""
    del codecs
    return ()


@hookspec
def rescale_bench_protocols() -> Iterable[Protocol]:
    """Yield measuring protocols."""
    return ()


@hookspec
def rescale_bench_claims() -> Iterable[ClaimsFile]:
    """Yield files of claims."""
    return ()
