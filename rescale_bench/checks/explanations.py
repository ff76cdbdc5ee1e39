"""Which smallest change of the protocol explains that a measured number is not the published one.

Nothing is run: the stored outputs of the run are scored again under single switches, then under pairs. With some
dozens of changes one of them may fit a single number by chance, so a change counts by how many of the method's
differing numbers it explains, and every other change that fits as well is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from rescale_bench.api.records import Protocol
from rescale_bench.checks.naming import UNSTATED, MeanKey
from rescale_bench.checks.published import Comparison
from rescale_bench.checks.rescoring import Pictures
from rescale_bench.checks.switches import MOST, SCORES, Change, changes, reruns, spelled
from rescale_bench.checks.tolerances import Given, tolerance_of

SLACK = 1e-9
"""So that a difference of exactly the tolerance is within it."""
SAME = 1e-6
"""How closely the stored outputs must give the run's own mean before anything is tried on them."""

Values = dict[Change, float]
Group = tuple[str, str, str]
"""Protocol published under, our method, protocol measured under: whose numbers one change should explain together."""


@dataclass(frozen=True)
class Trial:
    """A change, the mean under it, and that mean minus the published number."""

    change: Change
    value: float
    difference: float

    @property
    def text(self) -> str:
        """Write the change as on the command line."""
        return spelled(self.change)


@dataclass(frozen=True)
class Explanation:
    """Why a measured number differs from the published one, as far as stored outputs tell.

    tolerance: what counts as equal. change: the smallest that explains the gap, None where none does.
    also: changes of the same size that do so too. nearest: the trial that came closest, where none explains it.
    support: how many of the method's differing numbers `change` explains, and how many there are, that were tried.
    tried: number of changes. obstacle: why nothing was tried ("" where it was).
    reruns: protocols that stored outputs cannot show.
    """

    tolerance: float
    change: Trial | None = None
    also: tuple[Trial, ...] = ()
    nearest: Trial | None = None
    support: tuple[int, int] = (0, 0)
    tried: int = 0
    obstacle: str = ""
    reruns: tuple[str, ...] = ()


@dataclass
class _Search:
    """Trials of one number: the changes that fit (all of the same size), and the nearest of all."""

    one: Comparison
    tolerance: float
    fitting: list[Trial] = field(default_factory=list)
    nearest: Trial | None = None
    tried: int = 0
    obstacle: str = ""

    @property
    def group(self) -> Group:
        return self.one.expected, self.one.method, self.one.protocol

    @property
    def number(self) -> tuple[str, ...]:
        """Identify the number apart from the paper that prints it."""
        return self.one.dataset, self.one.published.scale, self.one.metric, self.one.published.text


def tolerance(one: Comparison, given: Given) -> float:
    """Say by how much the two may differ: as asked, as the published row states, else half the last printed digit."""
    row = one.published
    if one.metric in given or one.metric.partition(":")[0] in given:
        return tolerance_of(one.metric, given, "").allowed(row.value)
    return row.tolerance if row.tolerance is not None else float(Decimal("0.5").scaleb(row.exponent))


def within(one: Comparison, given: Given | None = None) -> bool:
    """Tell whether a measured number is the published one, as far as its tolerance tells."""
    return one.difference is not None and abs(one.difference) <= tolerance(one, given or {}) + SLACK


def explain(
    found: Sequence[Comparison],
    pictures: Pictures,
    protocol: Callable[[str], Protocol],
    given: Given | None = None,
) -> dict[Comparison, Explanation]:
    """Look for the smallest change behind every gap; numbers that agree have no entry.

    protocol: the registry's choose_protocol. given: tolerances by metric. Raises ImageError for damaged pictures.
    """
    known: dict[tuple[MeanKey, int], Values] = {}
    searches = [
        _search(one, tolerance(one, given or {}), pictures, protocol, known)
        for one in found
        if one.difference is not None and not within(one, given)
    ]
    support, differing = _support(searches)
    return {each.one: _settle(each, support, differing, protocol) for each in searches}


def _search(
    one: Comparison,
    allowed: float,
    pictures: Pictures,
    protocol: Callable[[str], Protocol],
    known: dict[tuple[MeanKey, int], Values],
) -> _Search:
    search = _Search(one, allowed, obstacle=_obstacle(one, pictures))
    if search.obstacle or one.key is None:
        return search
    for size in range(MOST + 1):
        values = _known(known, one.key, size, pictures, protocol)
        if size == 0:
            search.obstacle = _unlike(one, values)
            if search.obstacle:
                return search
            continue
        trials = [Trial(change, value, value - one.published.value) for change, value in values.items()]
        search.tried += len(trials)
        search.fitting = [trial for trial in trials if abs(trial.difference) <= allowed + SLACK]
        search.nearest = min(
            (*trials, *filter(None, (search.nearest,))), key=lambda trial: abs(trial.difference), default=None
        )
        if search.fitting:
            return search
    return search


def _known(
    known: dict[tuple[MeanKey, int], Values],
    key: MeanKey,
    size: int,
    pictures: Pictures,
    protocol: Callable[[str], Protocol],
) -> Values:
    """Measure all changes of one size once; papers that print different numbers for one thing share them."""
    if (key, size) not in known:
        base = protocol(key.protocol)
        grey = size > 0 and pictures.grey(key, base)
        wanted = changes(base, key.metric, Decimal(key.scale), grey, size)
        known[key, size] = pictures.means(key, base, wanted) if wanted else {}
    return known[key, size]


def _obstacle(one: Comparison, pictures: Pictures) -> str:
    if one.obstacles:
        return f"no protocol explains it: {', '.join(one.obstacles)}"
    if one.key is None or one.key.metric not in SCORES:
        return "no switch of a protocol moves this metric"
    missing = pictures.missing(one.key)
    if missing or one.key not in pictures.cells:
        return "no stored outputs: measure again with `run --keep`"
    return ""


def _unlike(one: Comparison, values: Values) -> str:
    """Refuse outputs that are not this run's; where they lost digits by being stored, there is nothing to compare."""
    value = values.get(())
    if value is None or one.measured is None or abs(value - one.measured) <= SAME:
        return ""
    return f"the stored outputs give {value:.6g}, not the run's {one.measured:.6g}: measure again with `run --keep`"


def _support(searches: Sequence[_Search]) -> tuple[Counter[tuple[Group, Change]], Counter[Group]]:
    """Count, per method, the numbers that each change explains and those that were tried; a reprint counts once."""
    distinct = {(each.group, each.number): each for each in searches if not each.obstacle}.values()
    explained = Counter((each.group, trial.change) for each in distinct for trial in each.fitting)
    return explained, Counter(each.group for each in distinct)


def _settle(
    search: _Search,
    support: Counter[tuple[Group, Change]],
    differing: Counter[Group],
    protocol: Callable[[str], Protocol],
) -> Explanation:
    key = search.one.key
    if search.obstacle or key is None:
        return Explanation(search.tolerance, obstacle=search.obstacle)
    ranked = sorted(
        search.fitting, key=lambda trial: (-support[search.group, trial.change], abs(trial.difference), trial.text)
    )
    best = ranked[0] if ranked else None
    wanted = [search.one.expected] if search.one.expected not in ("", UNSTATED, key.protocol) else []
    return Explanation(
        tolerance=search.tolerance,
        change=best,
        also=tuple(ranked[1:]),
        nearest=None if best else search.nearest,
        support=(support[search.group, best.change] if best else 0, differing[search.group]),
        tried=search.tried,
        reruns=(*wanted, *reruns(protocol(key.protocol), key.metric)),
    )
