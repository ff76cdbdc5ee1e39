"""The little language of the command line: `irn:z=zero,weights=published`, `jpeg:90`, lists of them.

A text in double quotes may hold commas and colons: `graph:up="a,b.onnx",scale=2`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rescale_bench.api.records import Damage, Option, Value
from rescale_bench.errors import UnknownNameError, UsageError


@dataclass(frozen=True)
class Spec:
    """One entry of a list, still untyped."""

    name: str
    """What stands before the first colon."""

    given: tuple[tuple[str, str], ...] = ()
    """Option texts by name; a bare value ("90" in jpeg:90) has the name ""."""

    text: str = field(default="", compare=False)
    """The whole spec as it was written, quotes included."""


def parse_list(text: str, about: str = "") -> list[Spec]:
    """Split a list into specs; an entry `key=value` belongs to the spec before it.

    "irn:z=zero,weights=published,aidn" holds two specs. Raises UsageError about the setting that it came from.
    """
    return [parse_spec(entry, about) for entry in split_list(text, about)]


def split_list(text: str, about: str = "") -> list[str]:
    """Split a list into the texts of its specs, as parse_list. Raises UsageError for an empty entry."""
    groups: list[list[str]] = []
    for entry in (part.strip() for part in split_plain(text, ",", about)):
        if not entry:
            raise UsageError(f"empty entry in '{text}'", about)
        if groups and _has(groups[-1][0], ":") and "=" in entry and not _has(entry.split("=", 1)[0], ":"):
            groups[-1].append(entry)
        else:
            groups.append([entry])
    return [",".join(group) for group in groups]


def parse_spec(text: str, about: str = "") -> Spec:
    """Read one spec. Raises UsageError for an empty name, a repeated option or an open quote."""
    name, *more = split_plain(text, ":", about)
    rest = ":".join(more)
    if not _plain(name):
        raise UsageError(f"no name in '{text}'", about)
    given: dict[str, str] = {}
    for item in split_plain(rest, ",", about) if rest.strip() else []:
        key, *values = split_plain(item, "=", about)
        key, value = (_plain(key), _plain("=".join(values))) if values else ("", _plain(key))
        if key in given:
            raise UsageError(f"'{text}' gives {key or 'a value'} twice", about)
        given[key] = value
    return Spec(_plain(name), tuple(given.items()), text.strip())


def split_plain(text: str, mark: str, about: str) -> list[str]:
    """Split at a mark that stands outside of double quotes; the quotes stay. Raises UsageError for an open quote."""
    if text.count('"') % 2:
        raise UsageError(f"a quote is not closed in '{text}'", about)
    pieces = [""]
    for index, chunk in enumerate(re.split('("[^"]*")', text)):
        first, *others = [chunk] if index % 2 else chunk.split(mark)
        pieces[-1] += first
        pieces += others
    return pieces


def _has(text: str, mark: str) -> bool:
    return mark in re.sub('"[^"]*"?', "", text)


def _plain(text: str) -> str:
    return text.strip().replace('"', "")


def resolve(spec: Spec, options: Sequence[Option], about: str = "") -> dict[str, Value]:
    """Type the given options against their declarations and fill in the defaults.

    A bare value goes to the first declared option; where that is a number, it may hold those of the next ones too, as
    in jpeg:90:444. Raises UsageError for unknown names (with the nearest known one), for an option that is given twice,
    wrong types and values outside the choices.
    """
    values: dict[str, Value] = {option.name: option.default for option in options}
    seen = set()
    for key, text in _named(spec, options, about):
        option = _find(spec, key, options, about)
        if option.name in seen:
            raise UsageError(f"'{spec.text}' gives {option.name} twice", about)
        seen.add(option.name)
        values[option.name] = option.parse(text, spec.name, about)
    return values


def _named(spec: Spec, options: Sequence[Option], about: str) -> Iterator[tuple[str, str]]:
    """Give each bare value the name of its option. Raises UsageError for more values than options."""
    for key, text in spec.given:
        if key or not options or isinstance(options[0].default, str):
            yield key, text
            continue
        bare = text.split(":")
        if len(bare) > len(options):
            names = ", ".join(option.name for option in options)
            raise UsageError(f"'{spec.text}' gives {len(bare)} values; {spec.name} takes {names}", about)
        yield from zip((option.name for option in options), bare, strict=False)


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
    declared = {option.name: option for option in options}
    changed = {key: value for key, value in values.items() if value != declared[key].default}
    return ",".join(f"{key}={_text(value, declared[key].is_path)}" for key, value in sorted(changed.items()))


def placed(record: Damage, values: Mapping[str, Value]) -> str:
    """Write a damage as the one text used in keys and tables, by place: "noise:1", "jpeg:90:444".

    Defaults at the end are left out, but not the strength.
    """
    texts = [(_text(values[option.name], option.is_path), values[option.name] != option.default)
             for option in record.options]  # fmt: skip
    count = max((place for place, (_, changed) in enumerate(texts) if changed), default=0)
    return ":".join([record.name, *(text for text, _ in texts[: count + 1])])


def _text(value: Value, is_path: bool) -> str:
    if is_path:
        return Path(str(value)).name
    return str(value).lower() if isinstance(value, bool) else str(value)


RANDOM, UNVERSIONED = "random", "unversioned"
"""Words of a weights tag: networks that were drawn, not trained; a method of a session whose code has no version."""


def publishable(weights: str) -> bool:
    """Tell whether the networks behind a weights tag were trained, and whether the code has a version."""
    return not {RANDOM, UNVERSIONED} & set(weights.split("+"))


def method_label(name: str, options: str, weights: str) -> str:
    """Name a row: "bicubic", "irn:z=zero [published]", "irn [random: not publishable]"."""
    text = label(name, options)
    if not publishable(weights):
        return f"{text} [{weights}: not publishable]"
    return f"{text} [{weights}]" if weights else text


def label(name: str, options: str) -> str:
    """Join a name and canonical options, as in "irn:z=zero"."""
    return f"{name}:{options}" if options else name
