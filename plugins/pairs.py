"""Pairs by name: `DOWN+UP` takes one method's downscaler and another's upscaler (`bicubic+edsr`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import (
    Find,
    Method,
    MethodRule,
    Option,
    Rescaler,
    States,
    Traits,
    Value,
    all_parts,
    configured,
    count_parameters,
    qualified,
    states_of,
)
from rescale_bench.errors import UsageError
from rescale_bench.roundtrip.tiling import margin_of

if TYPE_CHECKING:
    import torch


class Pair:
    """Shrink with one rescaler, enlarge with another."""

    def __init__(self, methods: tuple[Method, Method], down: Rescaler, up: Rescaler) -> None:
        """Keep what the methods built; each is used for one half only."""
        self.methods, self.down, self.up = methods, down, up
        self.parameter_count = count_parameters(down, up)

    def compile_networks(self) -> None:
        """Compile the halves that gain from it."""
        from rescale_bench.networks.compiling import compile_rescaler

        first, second = self.methods
        self.down = compile_rescaler(self.down) if first.traits.compiles else self.down
        self.up = compile_rescaler(self.up) if second.traits.compiles else self.up

    def downscale(self, hr: torch.Tensor, scale: float) -> torch.Tensor:
        """Shrink with the first."""
        if self.methods[0].traits.batches or len(hr) == 1:
            return self.down.downscale(hr, scale)
        import torch

        return torch.cat([self.down.downscale(image, scale) for image in torch.split(hr, 1)])

    def upscale(self, lr: torch.Tensor, scale: float, size: tuple[int, int]) -> torch.Tensor:
        """Enlarge with the second."""
        if self.methods[1].traits.batches or len(lr) == 1:
            return self.up.upscale(lr, scale, size)
        import torch

        return torch.cat([self.up.upscale(image, scale, size) for image in torch.split(lr, 1)])


def pair(name: str, find: Find) -> Method | None:
    """Make `DOWN+UP` from its two halves; None where the name has no plus sign.

    A half may name its weights: `irn@published+irn@mine`. Raises UsageError where a half is missing or the LR of one
    is not what the other takes.
    """
    left, plus, right = name.partition("+")
    if not plus:
        return None
    down, up = _half(left, find), _half(right, find)
    if down.lr_channels != up.lr_channels or down.traits.ceiling or up.traits.ceiling:
        raise UsageError(f"{name}: {up.name} cannot read the LR of {down.name}", "methods")
    return _combine(down, up)


def _half(text: str, find: Find) -> Method:
    name, at, tag = text.partition("@")
    if not (at and tag):
        return find(text)
    method = find(name)
    if method.traits.derived or not all_parts(method):
        raise UsageError(f"{text}: {name} has no weights of its own, so that no tag can follow it", "methods")
    return replace(method, name=text)


def _combine(down: Method, up: Method) -> Method:
    name = f"{down.name}+{up.name}"
    for method, half in ((down, "down"), (up, "up")):
        if half not in method.halves:
            raise UsageError(f"{name}: {method.name} has no {half}scaler", "methods")

    def configure(options: Mapping[str, Value]) -> Method:
        return _combine(configured(down, options), configured(up, options))

    def build(states: States, device: str, options: Mapping[str, Value]) -> Rescaler:
        first, second = (half.build(states_of(half, states), device, _own(half, options)) for half in (down, up))
        return Pair((down, up), first, second)

    def margin(states: States, options: Mapping[str, Value]) -> int | None:
        found = [margin_of(half, partial(states_of, half, states), _own(half, options)) for half in (down, up)]
        known = [item for item in found if item is not None]
        return max(known) if len(known) == len(found) else None

    def parts(scale: Decimal) -> tuple[str, ...]:
        return tuple(dict.fromkeys(qualified(half, part) for half in (down, up) for part in half.parts(scale)))

    return Method(
        name=name,
        summary=f"{down.name} down, {up.name} up",
        citation=f"down: {down.citation}; up: {up.citation}",
        scales=down.scales & up.scales,
        build=build,
        version=f"{down.version}+{up.version}",
        options=_merge(down.options, up.options),
        configure=configure if down.configure or up.configure else None,
        parts=parts,
        lr_channels=up.lr_channels,
        codec=up.codec,
        margin=None if down.margin is None or up.margin is None else max(down.margin, up.margin),
        build_margin=margin if down.build_margin or up.build_margin else None,
        traits=Traits(
            derived=True,
            draws=down.traits.draws or up.traits.draws,
            batches=down.traits.batches or up.traits.batches,
            compiles=down.traits.compiles or up.traits.compiles,
            external=down.traits.external or up.traits.external,
        ),
    )


def _merge(first: tuple[Option, ...], second: tuple[Option, ...]) -> tuple[Option, ...]:
    # An option that both halves declare is given to both.
    return tuple({option.name: option for option in (*second, *first)}.values())


def _own(method: Method, options: Mapping[str, Value]) -> dict[str, Value]:
    return {option.name: options[option.name] for option in method.options}


@hookimpl
def rescale_bench_method_rules() -> Iterable[MethodRule]:
    """Yield the pairing rule."""
    yield MethodRule("DOWN+UP", "the downscaler of one method with the upscaler of another", pair)
