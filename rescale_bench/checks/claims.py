"""Claims of papers as data: a statement, where it is printed, and the test on a run's rows that decides it.

Ours are in `claims.yaml` beside this module; a file of the user's own, or of a plugin, has the same form.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from rescale_bench.api.registry import Registry
from rescale_bench.api.scales import parse_scales
from rescale_bench.api.specs import parse_list, parse_spec
from rescale_bench.errors import RescaleBenchError, UnknownNameError, UsageError
from rescale_bench.machine.plain_yaml import read_yaml
from rescale_bench.machine.printable import printable

TESTS = {
    "difference": "image by image, the first method's value minus the second's",
    "ratio": "image by image, the first method's value divided by the second's; the mean is geometric",
    "value": "image by image, the method's value",
    "smooth": "image by image, the value at a scale minus the line, over log scale, through its two neighbours",
    "draws": "image by image, the largest value over the seeds minus the smallest",
}
"""What is compared with the bounds of a claim."""
PAIRED = ("difference", "ratio")
"""The tests that need `against`."""
EVERY, FRACTIONAL = "every", "fractional"
"""For `scales`: all that were measured, or all of these that are no whole numbers."""
KEYS = (
    "claim", "source", "test", "methods", "against", "metric", "scales", "datasets", "codec", "above", "below",
    "within", "weights",
)  # fmt: skip
NEEDED = ("claim", "source", "test", "methods", "metric", "scales")


@dataclass(frozen=True)
class Claim:
    """One statement that rows can decide. It holds where each of its parts holds (see `test`)."""

    name: str
    """Short, and unique: "irn-over-car"."""

    statement: str
    """In plain English."""

    source: str
    """Paper, section, table or figure."""

    test: str
    """One of TESTS. It is made for each method, opponent, scale and named data set; each of these is a part."""

    methods: tuple[str, ...]
    """As tables name them without weights ("irn:z=zero"), or with them where one set is meant ("irn [mine]")."""

    against: tuple[str, ...]
    """The opponents; each method is compared with each of them."""

    metrics: tuple[str, ...]
    """Whose values are added up, mostly one: "psnr_y", or "macs_down" and "macs_up"."""

    scales: tuple[str, ...]
    """Decimals, or EVERY or FRACTIONAL alone."""

    datasets: tuple[str, ...]
    """Data sets that each must hold on; empty: the mean over those measured, each with equal weight."""

    codec: str
    """The file between the halves, as rows name it ("jpeg:quality=75"); "": a lossless one."""

    above: float
    """The mean must be larger; −∞ where the claim has no such bound."""

    below: float
    """The mean must be smaller; ∞ where the claim has no such bound."""

    weights: tuple[str, ...]
    """Tags that count, where not all do: "random" for a claim about an architecture alone."""

    @property
    def bounds(self) -> str:
        """Write what the test wants: "> 4", "-0.05 to 0.05"."""
        if math.isinf(self.above):
            return f"< {self.below:g}"
        return f"> {self.above:g}" if math.isinf(self.below) else f"{self.above:g} to {self.below:g}"

    def command(self) -> str:
        """Write the command that measures its rows."""
        weights = f"weights={self.weights[0]}" if self.weights else ""
        methods = (_with(name.partition(" [")[0], weights) for name in (*self.methods, *self.against))
        scales = {EVERY: "1.1:4.0", FRACTIONAL: "1.1:3.9"}.get(self.scales[0], ",".join(self.scales))
        words = ["rescale-bench run", "-m", ",".join(dict.fromkeys(methods)), "-s", scales]
        words += ["-d", ",".join(self.datasets) or "Set5,Set14", "--metrics", ",".join(self.metrics)]
        return " ".join([*words, *(["--codecs", self.codec] if self.codec else [])])


def _with(name: str, option: str) -> str:
    return f"{name}{',' if ':' in name else ':'}{option}" if option else name


def shipped_claims() -> Path:
    """Find the claims of the papers that ship."""
    return Path(str(resources.files("rescale_bench.checks").joinpath("claims.yaml")))


def read_claims(paths: Sequence[Path], registry: Registry) -> list[Claim]:
    """Read files of claims, in order. Raises UsageError that names the file and the claim, also for a repeated name."""
    found: dict[str, Claim] = {}
    for path in paths:
        for claim in _read(path, registry):
            if claim.name in found:
                raise UsageError(f"{path}: the claim {claim.name} stands in another file already; rename it")
            found[claim.name] = claim
    return list(found.values())


def _read(path: Path, registry: Registry) -> Iterator[Claim]:
    for name, entry in read_yaml(path, "my-claim: {claim: …, source: …, test: difference, …}").items():
        where = f"{path}, {printable(name)}"
        if not isinstance(entry, dict) or not all(isinstance(value, str) for value in entry.values()):
            raise UsageError(f"{where}: a claim is lines of 'key: text' ({', '.join(KEYS)})")
        try:
            yield _claim(name, entry, registry)
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from None


def _claim(name: str, entry: Mapping[str, str], registry: Registry) -> Claim:
    for key in entry:
        if key not in KEYS:
            raise UnknownNameError("key of a claim", key, KEYS)
    missing = [key for key in NEEDED if not entry.get(key)]
    if missing:
        raise UsageError(f"lacks {', '.join(missing)}")
    test = entry["test"]
    if test not in TESTS:
        raise UnknownNameError("test", test, TESTS)
    if (test in PAIRED) != ("against" in entry):
        raise UsageError(f"the test {test} {'needs' if test in PAIRED else 'takes no'} 'against'")
    above, below = _bounds(entry, test)
    scales = entry["scales"]
    statement, source = (printable(" ".join(entry[key].split())) for key in ("claim", "source"))
    return Claim(
        name=printable(name), statement=statement, source=source, test=test,
        methods=_methods(entry["methods"], registry), against=_methods(entry.get("against", ""), registry),
        metrics=tuple(part.strip() for part in entry["metric"].split("+")),
        scales=(scales,) if scales in (EVERY, FRACTIONAL) else tuple(map(str, parse_scales(scales))),
        datasets=_texts(entry.get("datasets", "")), codec=_codec(entry.get("codec", ""), registry),
        above=above, below=below, weights=_texts(entry.get("weights", "")),
    )  # fmt: skip


def _bounds(entry: Mapping[str, str], test: str) -> tuple[float, float]:
    """Read `above`, `below`, or `within` (both, on either side of no difference)."""
    numbers: dict[str, float] = {}
    for key in ("above", "below", "within"):
        if key in entry:
            try:
                numbers[key] = float(entry[key])
            except ValueError:
                raise UsageError(f"{key} is '{entry[key]}', no number") from None
            if not math.isfinite(numbers[key]):
                raise UsageError(f"{key} is {entry[key]}; give a finite number")
    if not numbers or ("within" in numbers and len(numbers) > 1):
        raise UsageError("give above, below, or both; or within alone")
    if "within" in numbers:
        if test in ("ratio", "value"):
            raise UsageError(f"the test {test} takes above and below, not within")
        return -numbers["within"], numbers["within"]
    above, below = numbers.get("above", -math.inf), numbers.get("below", math.inf)
    if above >= below:
        raise UsageError(f"nothing is above {above:g} and below {below:g}")
    return above, below


def _methods(text: str, registry: Registry) -> tuple[str, ...]:
    """Write methods as tables name them; what no plugin here offers stays as it is, since rows may have it."""
    found = []
    for spec in parse_list(text) if text else ():
        bare, bracket, rest = spec.text.partition(" [")
        with suppress(RescaleBenchError):
            bare = registry.choose_method(parse_spec(bare)).label
        found.append(bare + bracket + rest)
    return tuple(found)


def _codec(text: str, registry: Registry) -> str:
    return registry.choose_codec(parse_spec(text)).label if text else ""


def _texts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
