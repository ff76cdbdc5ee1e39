"""The little language of the command line: `irn:z=zero,weights=published`, `jpeg:90`, lists of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rescale_bench.api.records import Option, Value
from rescale_bench.errors import UnknownNameError, UsageError


@dataclass(frozen=True)
class Spec:
    """One entry of a list, still untyped."""

    name: str
    """What stands before the first colon."""

    given: tuple[tuple[str, str], ...] = ()
    """Option texts by name; a bare value ("90" in jpeg:90) has the name ""."""


def parse_list(text: str, about: str = "") -> list[Spec]:
    """Split a list into specs; an entry `key=value` belongs to the spec before it.

    "irn:z=zero,weights=published,aidn" holds two specs. Raises UsageError about the setting that it came from.
    """
    groups: list[list[str]] = []
    for entry in (part.strip() for part in text.split(",")):
        if not entry:
            raise UsageError(f"empty entry in '{text}'", about)
        if groups and ":" in groups[-1][0] and "=" in entry and ":" not in entry.split("=", 1)[0]:
            groups[-1].append(entry)
        else:
            groups.append([entry])
    return [parse_spec(",".join(group), about) for group in groups]


def parse_spec(text: str, about: str = "") -> Spec:
    """Read one spec. Raises UsageError for an empty name or a repeated option."""
    name, _, rest = text.partition(":")
    if not name.strip():
        raise UsageError(f"no name in '{text}'", about)
    given: dict[str, str] = {}
    for item in rest.split(",") if rest.strip() else []:
        key, equals, value = item.partition("=")
        key, value = (key.strip(), value.strip()) if equals else ("", key.strip())
        if key in given:
            raise UsageError(f"'{text}' gives {key or 'a value'} twice", about)
        given[key] = value
    return Spec(name.strip(), tuple(given.items()))


def resolve(spec: Spec, options: Sequence[Option], about: str = "") -> dict[str, Value]:
    """Type the given options against their declarations and fill in the defaults.

    A bare value goes to the first declared option. Raises UsageError for unknown names
    (with the nearest known one), wrong types and values outside the choices.
    """
    values: dict[str, Value] = {option.name: option.default for option in options}
    for key, text in spec.given:
        option = _find(spec, key, options, about)
        values[option.name] = option.parse(text, spec.name, about)
    return values


def _find(spec: Spec, key: str, options: Sequence[Option], about: str) -> Option:
    if not options:
        raise UsageError(f"{spec.name} takes no options", about)
    if key == "":
        return options[0]
    for option in options:
        if option.name == key:
            return option
    raise UnknownNameError(f"option of {spec.name}", key, [option.name for option in options])


def canonical(values: Mapping[str, Value], options: Sequence[Option]) -> str:
    """Write typed options as the one text used in keys and tables: sorted, defaults left out."""
    defaults = {option.name: option.default for option in options}
    changed = {key: value for key, value in values.items() if value != defaults.get(key)}
    return ",".join(f"{key}={_text(value)}" for key, value in sorted(changed.items()))


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def publishable(weights: str) -> bool:
    """Tell whether all networks behind a weights tag were trained (`random` ones were only drawn)."""
    return "random" not in weights.split("+")


def method_label(name: str, options: str, weights: str) -> str:
    """Name a row: "bicubic", "irn:z=zero [published]", "irn [random: not publishable]"."""
    text = label(name, options)
    if not publishable(weights):
        return f"{text} [{weights}: not publishable]"
    return f"{text} [{weights}]" if weights else text


def label(name: str, options: str) -> str:
    """Join a name and canonical options, as in "irn:z=zero"."""
    return f"{name}:{options}" if options else name
