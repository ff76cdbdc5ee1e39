"""Fractional scales for fixed-scale methods: `-type1`, `-type3` (AIDN, sec. 4.2) and `-ceil` (IRN, sec. 3.3.2).

All three keep the LR size of a native method, ceil(side/s), so their rows compare. Sizes and rounding are not
stated in the papers: the enlarged HR is base·LR side, resized by size, kept in float; only the LR is rounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
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
    count_parameters,
    qualified,
    states_of,
)
from rescale_bench.api.scales import NativeScales, exact, lr_size
from rescale_bench.errors import NotNativeError, UnknownNameError, UsageError

if TYPE_CHECKING:
    import torch

ANTIALIAS = Option(
    "indirect_antialias", True, "stretch the kernel in the bicubic step down to size (MATLAB's rule); false is sharper"
)
Base = Callable[[Decimal], tuple[Method, Decimal]]
"""From a scale to the model that serves it indirectly and that model's own scale."""
Size = tuple[int, int]


class Indirect:
    """Serve a fractional scale with a fixed-scale model and two bicubic steps (type III and ceil)."""

    def __init__(self, base: Base, inner: _Builder, antialias: bool) -> None:
        """Keep the choice of models, how to build one, and the rule of the last bicubic step."""
        self.base, self.inner, self.antialias = base, inner, antialias

    def compile_networks(self) -> None:
        """Compile the models, each when it is built."""
        self.inner.compiles = True

    @property
    def parameter_count(self) -> int | None:
        """Count the parameters of the models built so far."""
        return count_parameters(*self.inner.built.values())

    def downscale(self, hr: torch.Tensor, scale: float) -> torch.Tensor:
        """Enlarge HR to base·LR side (bicubic), then shrink with the model."""
        from rescale_bench.images.resize import imresize

        method, model = self.base(exact(scale))
        if model == exact(scale):
            return self.inner(method).downscale(hr, scale)
        small = lr_size(_size(hr), scale)
        large = (small[0] * int(model), small[1] * int(model))
        return self.inner(method).downscale(imresize(hr, size=large), float(model))

    def upscale(self, lr: torch.Tensor, scale: float, size: Size) -> torch.Tensor:
        """Enlarge with the model, then bicubic to size."""
        from rescale_bench.images.resize import imresize

        method, model = self.base(exact(scale))
        if model == exact(scale):
            return self.inner(method).upscale(lr, scale, size)
        large = (lr.shape[-2] * int(model), lr.shape[-1] * int(model))
        image = self.inner(method).upscale(lr, float(model), large)
        return imresize(image, scale=self.last_step(scale, model), size=size, antialias=self.antialias)

    def last_step(self, scale: float, model: Decimal) -> float | None:
        """Return the scale of the bicubic step to size; None is by size alone, as the enlarging step went."""
        del scale, model
        return None


class TypeOne(Indirect):
    """Bicubic down by s; the super-resolution half of the next model up; bicubic to size (type I)."""

    def downscale(self, hr: torch.Tensor, scale: float) -> torch.Tensor:
        """Shrink with bicubic."""
        from rescale_bench.images.levels import resize_levels

        return resize_levels(hr, scale=1 / scale, size=lr_size(_size(hr), scale))

    def last_step(self, scale: float, model: Decimal) -> float | None:
        """Return s/model: LR lies on the grid of the scale itself, and by size alone HR' would be shifted."""
        return scale / float(model)


class Ceiling(Indirect):
    """Do the bicubic steps alone: the bound that they put on every type III method."""

    def downscale(self, hr: torch.Tensor, scale: float) -> torch.Tensor:
        """Enlarge HR as type III does and pass it on whole."""
        from rescale_bench.images.resize import imresize

        model = _type3_base(exact(scale), NativeScales.of(2, 4))
        height, width = lr_size(_size(hr), scale)
        return imresize(hr, size=(height * int(model), width * int(model)))

    def upscale(self, lr: torch.Tensor, scale: float, size: Size) -> torch.Tensor:
        """Bring the enlarged image back to size."""
        from rescale_bench.images.resize import imresize

        del scale
        return imresize(lr, size=size, antialias=self.antialias)


def _size(image: torch.Tensor) -> Size:
    return image.shape[-2], image.shape[-1]


def _type3_base(scale: Decimal, native: NativeScales) -> Decimal:
    """Choose the ×2 model up to 2, the ×4 model beyond (also at ×3), as AIDN's type III does."""
    for model in (Decimal(2), Decimal(4)):
        if scale <= model and model in native:
            return model
    raise NotNativeError(f"type III serves 1 < s <= 4 with a ×2 or ×4 model, not {scale}")


def _integers(native: NativeScales) -> list[Decimal]:
    return [Decimal(value) for value in range(2, 9) if Decimal(value) in native]


def type3(name: str, find: Find) -> Method | None:
    """Wrap NAME-type3."""
    inner = _inner(name, "-type3", find)
    if inner is None:
        return None
    models = [model for model in (Decimal(2), Decimal(4)) if model in inner.scales]
    if not models:
        raise UsageError(f"{name}: {inner.name} serves {inner.scales}; type III needs a ×2 or ×4 model", "methods")

    def base(scale: Decimal) -> tuple[Method, Decimal]:
        return inner, _type3_base(scale, inner.scales)

    return _wrap(name, inner, [inner], base, max(models), Indirect, "AIDN sec. 4.2, type III")


def ceil(name: str, find: Find) -> Method | None:
    """Wrap NAME-ceil by the model of the next integer, a sibling's where the method itself has none (irn-ld at ×3)."""
    inner = _inner(name, "-ceil", find)
    if inner is None:
        return None
    owners = dict.fromkeys(_integers(inner.scales), inner)
    for text, sibling in inner.siblings.items():
        owners.setdefault(Decimal(text), find(sibling))
    top = _unbroken_top(name, owners)

    def base(scale: Decimal) -> tuple[Method, Decimal]:
        model = Decimal(math.ceil(scale))
        if model not in owners:
            raise NotNativeError(f"{name} has no ×{model} model for scale {scale}")
        return owners[model], model

    return _wrap(name, inner, list(owners.values()), base, top, Indirect, "IRN (IJCV 2022) sec. 3.3.2")


def type1(name: str, find: Find) -> Method | None:
    """Wrap NAME-type1: bicubic down, the upscaler of the model of ceil(s), bicubic to size."""
    inner = _inner(name, "-type1", find)
    if inner is None:
        return None
    models = _integers(inner.scales)
    top = _unbroken_top(name, dict.fromkeys(models, inner))

    def base(scale: Decimal) -> tuple[Method, Decimal]:
        return inner, Decimal(math.ceil(scale))

    return _wrap(name, inner, [inner], base, top, TypeOne, "AIDN sec. 4.2, type I")


def _inner(name: str, suffix: str, find: Find) -> Method | None:
    if not name.endswith(suffix):
        return None
    try:
        inner = find(name.removesuffix(suffix))
    except UnknownNameError as error:
        raise UsageError(f"{name}: {error}", "methods") from None
    if inner.lr_channels != 3 or inner.traits.ceiling or inner.configure or inner.traits.external:
        raise UsageError(f"{name}: {inner.name} cannot be wrapped", "methods")
    if "down" not in inner.halves and suffix != "-type1":
        raise UsageError(f"{name}: {inner.name} has no downscaler; use {inner.name}-type1", "methods")
    return inner


def _unbroken_top(name: str, owners: Mapping[Decimal, Method]) -> Decimal:
    """Find the largest n such that every model 2 … n exists."""
    top = Decimal(1)
    while top + 1 in owners:
        top += 1
    if top == 1:
        raise UsageError(f"{name}: there is no ×2 model to start from", "methods")
    return min(top, Decimal(8))


def _wrap(
    name: str, inner: Method, owners: list[Method], base: Base, top: Decimal, kind: type[Indirect], source: str
) -> Method:
    def parts(scale: Decimal) -> tuple[str, ...]:
        method, model = base(scale)
        return tuple(qualified(method, part) for part in method.parts(model))

    def build(states: States, device: str, options: Mapping[str, Value]) -> Rescaler:
        return kind(base, _Builder(states, device, options), bool(options[ANTIALIAS.name]))

    options = {option.name: option for owner in owners for option in owner.options}
    return Method(
        name=name,
        summary=f"{inner.name} at fractional scales ({source})",
        citation=f"{inner.citation}; wrapper: {source}",
        scales=NativeScales.between("1", str(top)),
        build=build,
        version=f"{inner.version}/indirect-1",
        options=(*options.values(), ANTIALIAS),
        parts=parts,
        codec=inner.codec,
        traits=Traits(
            derived=True,
            indirect=True,
            draws=any(owner.traits.draws for owner in owners),
            batches=all(owner.traits.batches for owner in owners),
            compiles=any(owner.traits.compiles for owner in owners),
        ),
    )


class _Builder:
    """Build the wrapped methods when first needed, each from its own states."""

    def __init__(self, states: States, device: str, options: Mapping[str, Value]) -> None:
        self.states, self.device, self.options = states, device, options
        self.built: dict[str, Rescaler] = {}
        self.compiles = False

    def __call__(self, method: Method) -> Rescaler:
        if method.name not in self.built:
            own = {option.name: self.options[option.name] for option in method.options}
            rescaler = method.build(states_of(method, self.states), self.device, own)
            if self.compiles and method.traits.compiles:
                from rescale_bench.networks.compiling import compile_rescaler

                rescaler = compile_rescaler(rescaler)
            self.built[method.name] = rescaler
        return self.built[method.name]


def _build_ceiling(states: States, device: str, options: Mapping[str, Value]) -> Rescaler:
    def base(scale: Decimal) -> tuple[Method, Decimal]:
        raise NotNativeError(f"identity-type3 has no model at {scale}")

    return Ceiling(base, _Builder(states, device, options), bool(options[ANTIALIAS.name]))


@hookimpl
def rescale_bench_methods() -> Iterable[Method]:
    """Yield the ceiling of type III as a method of its own."""
    yield Method(
        name="identity-type3",
        summary="the bicubic steps of type III with a perfect model: a ceiling, not a rescaler",
        citation="AIDN sec. 4.2, type III, without the model",
        scales=NativeScales.between("1", "4"),
        build=_build_ceiling,
        options=(ANTIALIAS,),
        traits=Traits(ceiling=True),
    )


@hookimpl
def rescale_bench_method_rules() -> Iterable[MethodRule]:
    """Yield the three wrappers; they are asked before pairs, so `bicubic+edsr-type1` wraps the pair."""
    yield MethodRule("NAME-type3", "×2/×4 model after bicubic up, bicubic to size (AIDN sec. 4.2)", type3, 10)
    yield MethodRule("NAME-ceil", "the same with the model of ceil(s) (IRN sec. 3.3.2)", ceil, 10)
    yield MethodRule("NAME-type1", "bicubic down, model of ceil(s) up, bicubic to size (AIDN sec. 4.2)", type1, 10)
