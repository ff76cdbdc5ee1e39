"""A recipe: everything about a training that is data, written into the weights file."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

from rescale_bench.api.records import Method, States, Value
from rescale_bench.errors import PluginError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from rescale_bench.training.learner import Learner


@dataclass(frozen=True)
class Adam:
    """Adam's settings: learning rate, β1, β2, ε, weight decay (added to the gradient)."""

    rate: float
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    decay: float = 0.0


@dataclass(frozen=True)
class Schedule:
    """How the learning rate falls.

    kind: "cosine" to `floor` times the rate; "steps" multiplies by `factor` at each milestone; "plateau" does so
    after `patience` validations without a better PSNR. warmup: the first part of the steps (0 to 1), rising from 0.
    """

    kind: Literal["cosine", "steps", "plateau"]
    milestones: tuple[int, ...] = ()
    factor: float = 0.5
    patience: int = 10
    warmup: float = 0.0
    floor: float = 0.0

    def share(self, position: int, steps: int, drops: int = 0) -> float:
        """Compute what the rate is multiplied by at a position in 0..steps; drops: plateaus met so far."""
        if position < self.warmup * steps:
            return (position + 1) / (self.warmup * steps + 1)
        if self.kind == "cosine":
            return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, position / steps)))
        count = drops if self.kind == "plateau" else sum(position >= milestone for milestone in self.milestones)
        return float(self.factor**count)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one part of a method is trained.

    name: "paper", "small", …; unique with method and part. summary, source: for people.
    learner: (recipe, states to start from by part, seed) → the learner. losses: term → its weight in the sum.
    steps, batch: updates, crops in each. patch: HR side of a crop. scales: exact decimals, one drawn for each step
    with equal probability or in proportion to s² ("square"); early_scales during the first early_steps.
    layout: widths and depths. settings: what only this system has. adam, rivals: of the model and of other players.
    clip: largest gradient norm, 0 for none. precision: of the convolutions; "auto" is bf16 where the device is
    fast at it. transpose: crops are also transposed, besides flips. fits_budget: the schedule is squeezed into
    the minutes of a job; otherwise that only stops. starts: parts that begin from another method's weights
    ("usn-x2": "edsr/x2"). validate: scales of the validation; validate_as: method that runs it ("bicubic+edsr").
    options: the method's options there. validations: how many in a whole training, a divisor of 200.
    """

    name: str
    method: str
    part: str
    summary: str
    learner: Callable[[Recipe, States, int], Learner]
    losses: Mapping[str, float]
    steps: int
    batch: int
    patch: int
    scales: tuple[str, ...]
    adam: Adam
    schedule: Schedule
    source: str = ""
    scale_weight: Literal["equal", "square"] = "equal"
    early_scales: tuple[str, ...] = ()
    early_steps: int = 0
    layout: Mapping[str, Value] = field(default_factory=dict)
    settings: Mapping[str, Value] = field(default_factory=dict)
    rivals: Mapping[str, Adam] = field(default_factory=dict)
    clip: float = 0.0
    precision: Literal["float32", "bf16", "auto"] = "float32"
    transpose: bool = True
    fits_budget: bool = False
    starts: Mapping[str, str] = field(default_factory=dict)
    validate: tuple[str, ...] = ()
    validate_as: str = ""
    validations: int = 100
    options: Mapping[str, Value] = field(default_factory=dict)

    def __str__(self) -> str:
        """Print as "irn x2 small"."""
        return f"{self.method} {self.part} {self.name}"

    def json(self) -> str:
        """Write the data of the recipe, sorted."""
        fields = {item.name: getattr(self, item.name) for item in dataclasses.fields(self) if item.name != "learner"}
        plain = {key: dataclasses.asdict(value) if _is_record(value) else value for key, value in fields.items()}
        plain["rivals"] = {key: dataclasses.asdict(value) for key, value in self.rivals.items()}
        return json.dumps({key: value for key, value in plain.items() if value not in ("", {}, ())}, sort_keys=True)

    def scale_shares(self, step: int) -> dict[Decimal, float]:
        """Compute the probability of each scale at a step (AIDN, sec. 4.1, has them in proportion to s²)."""
        scales = [Decimal(text) for text in (self.early_scales if step < self.early_steps else self.scales)]
        shares = [float(scale) ** 2 if self.scale_weight == "square" else 1.0 for scale in scales]
        return {scale: share / sum(shares) for scale, share in zip(scales, shares, strict=True)}


def _is_record(value: object) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def recipes_of(method: Method) -> list[Recipe]:
    """Import the method's training module and list its recipes. Raises UsageError where it has none."""
    import importlib

    if not method.training:
        raise UsageError(f"{method.name} has no training recipes", "method")
    try:
        module: ModuleType = importlib.import_module(method.training)
    except ImportError as error:
        raise PluginError(f"{method.name}: its training module {method.training} cannot be imported: {error}") from None
    return [recipe for recipe in module.recipes() if recipe.method == method.name]


def choose_recipe(method: Method, name: str, part: str) -> Recipe:
    """Pick a recipe. Raises UnknownNameError, or UsageError where several parts fit and none was named."""
    known = recipes_of(method)
    named = [recipe for recipe in known if recipe.name == name]
    if not named:
        raise UnknownNameError(f"recipe of {method.name}", name, {recipe.name for recipe in known})
    parts = [recipe.part for recipe in named]
    if part and part not in parts:
        raise UnknownNameError(f"part of {method.name} in recipe {name}", part, parts)
    if not part and len(parts) > 1:
        raise UsageError(f"{method.name} has several parts: name {' or '.join(parts)}", "part")
    return next(recipe for recipe in named if part in ("", recipe.part))


def changed(recipe: Recipe, text: str) -> Recipe:
    """Apply "batch=4,adam.rate=1e-3,layout.growth=8" to a recipe. Raises UsageError, UnknownNameError."""
    given: set[str] = set()
    for item in (part.strip() for part in text.split(",") if part.strip()):
        key, equals, value = item.partition("=")
        if key.strip() in given:
            raise UsageError(f"{key.strip()} is given twice", "changes")
        given.add(key.strip())
        if not equals:
            raise UsageError(f"'{item}' is not KEY=VALUE", "changes")
        recipe = _changed(recipe, key.strip(), value.strip())
    return recipe


FIXED = {"name", "method", "part", "summary", "source", "starts", "rivals", "options", "validate_as"}
CHOICES = {"precision": ("float32", "bf16", "auto"), "scale_weight": ("equal", "square")}


def _changed(recipe: Recipe, key: str, text: str) -> Recipe:
    first, _, second = key.partition(".")
    values: dict[str, Any] = {item.name: getattr(recipe, item.name) for item in dataclasses.fields(recipe)}
    simple = {name: value for name, value in values.items() if isinstance(value, Value) and name not in FIXED}
    if not second and first in simple:
        changes: dict[str, Any] = {first: _typed(key, text, simple[first], CHOICES.get(first, ()))}
        return dataclasses.replace(recipe, **changes)
    group = values.get(first)
    inner = _settings(group)
    if second and second in inner and first not in FIXED:
        new = _typed(key, text, inner[second], _kinds(first, second))
        changes = {first: _with(group, second, new)}
        return dataclasses.replace(recipe, **changes)
    known = [f"{name}.{inner}" for name, value in values.items() if name not in FIXED for inner in _settings(value)]
    raise UnknownNameError(f"setting of recipe {recipe}", key, [*simple, *known])


def _kinds(first: str, second: str) -> tuple[str, ...]:
    return ("cosine", "steps", "plateau") if (first, second) == ("schedule", "kind") else ()


def _settings(value: object) -> dict[str, Value]:
    """Take a group of settings apart: a mapping, Adam's or the schedule's."""
    if isinstance(value, Adam | Schedule):
        value = vars(value)
    return {str(key): item for key, item in value.items() if isinstance(item, Value)} if _is_map(value) else {}


def _is_map(value: object) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(value, Mapping)


def _with(group: Any, key: str, value: Value) -> Any:
    if isinstance(group, Adam | Schedule):
        changes: dict[str, Any] = {key: value}
        return dataclasses.replace(group, **changes)
    return {**group, key: value}


def _typed(key: str, text: str, old: Value, choices: tuple[str, ...] = ()) -> Value:
    if choices and text not in choices:
        raise UsageError(f"{key}={text}; choose from {', '.join(choices)}", "changes")
    if isinstance(old, bool):
        if text.lower() not in ("true", "false"):
            raise UsageError(f"{key}={text}; write true or false", "changes")
        return text.lower() == "true"
    try:
        value = type(old)(text)
    except ValueError:
        raise UsageError(f"{key}={text} is not of type {type(old).__name__}", "changes") from None
    if isinstance(value, int | float) and not (math.isfinite(value) and value >= 0):
        raise UsageError(f"{key}={text} must be 0 or more", "changes")
    if key == "validations" and (value == 0 or 200 % int(value)):
        raise UsageError(f"{key}={text} must divide 200", "changes")
    if key in ("steps", "batch", "patch") and value == 0:
        raise UsageError(f"{key}={text} must be above 0", "changes")
    return value
