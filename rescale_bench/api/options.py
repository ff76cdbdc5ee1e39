"""One option of a method, codec or metric, and the values that it takes."""

from __future__ import annotations

from dataclasses import dataclass

from rescale_bench.errors import UsageError

Value = str | int | float | bool
"""What an option can hold."""

TRUE, FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


@dataclass(frozen=True)
class Option:
    """One option of a method, codec or metric."""

    name: str
    """As written on the command line: `z` in `irn:z=zero`."""

    default: Value
    """The value where none is given; it also fixes the type."""

    summary: str
    """One line for `info`."""

    choices: tuple[Value, ...] = ()
    """The allowed values; empty where every value of the type is allowed."""

    low: float | None = None
    """The smallest allowed number."""

    high: float | None = None
    """The largest allowed number."""

    is_path: bool = False
    """A file's path: keys and tables hold its last part; Method.configure puts the file's hash into the version."""

    def parse(self, text: str, where: str, about: str = "") -> Value:
        """Type a text. Raises UsageError that begins with where; about: the setting that the text is part of."""
        kind = type(self.default)
        try:
            value: Value = _boolean(text) if kind is bool else kind(text)
        except ValueError:
            raise UsageError(f"{where}: {self.name}={text} is not of type {kind.__name__}", about) from None
        if self.choices and value not in self.choices:
            raise UsageError(f"{where}: {self.name}={text}; choose from {', '.join(map(str, self.choices))}", about)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            below = self.low is not None and not value >= self.low
            if below or (self.high is not None and not value <= self.high):
                raise UsageError(f"{where}: {self.name}={text} is outside {self.low} to {self.high}", about)
        return value


def _boolean(text: str) -> bool:
    if text.lower() in TRUE | FALSE:
        return text.lower() in TRUE
    raise ValueError(text)
