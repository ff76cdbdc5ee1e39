"""Which departures from a protocol can be tried on the 8-bit pictures that a run stored, and which need a new run.

A change is a set of switches in the syntax of `--protocol` (`border=0`, `luma=bt601-rounded`), and of two more that
no run has: `grey=own` takes a grey image as its own Y in full range (as `srcnn-y` does), `metric=psnr_rgb` scores RGB
where Y was scored.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import combinations
from typing import get_args, get_type_hints

from rescale_bench.api.protocol_switches import with_switches
from rescale_bench.api.records import Protocol
from rescale_bench.api.specs import Spec, parse_spec
from rescale_bench.protocols.named import border

Change = tuple[tuple[str, str], ...]
"""(switch, value) of each departure."""

MOST = 2
"""Switches changed at once. More would fit nearly any number by chance."""
SCORES = ("psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb", "psnr_lr", "ssim_lr")
"""Metrics that a protocol's switches move."""
CROPS = ("scale", "8", "12", "none")


def spelled(change: Change) -> str:
    """Write a change as on the command line: "border=0,luma=full"."""
    return ",".join(f"{key}={value}" for key, value in change)


def changes(protocol: Protocol, metric: str, scale: Decimal, grey: bool, size: int) -> list[Change]:
    """List the changes of exactly `size` switches that stored outputs can show.

    grey: whether a grey image is among them. What the pictures lost by being stored in 8 bit counts as a switch of
    every change: the SR of a protocol that keeps floats is only there rounded.
    """
    lost = _stored_in_8bit(protocol, metric)
    free = size - len(lost)
    if metric not in SCORES or free < 0:
        return []
    single = list(_choices(protocol, metric, scale, grey))
    return [(*lost, *picked) for picked in combinations(single, free) if _sensible(picked)]


def _sensible(picked: Change) -> bool:
    """Refuse two values of one switch, and switches of Y where RGB is scored."""
    keys = [key for key, _ in picked]
    on_rgb = any(value.endswith("_rgb") for key, value in picked if key == "metric")
    return len(set(keys)) == len(keys) and not (on_rgb and {"luma", "grey"} & set(keys))


def _stored_in_8bit(protocol: Protocol, metric: str) -> Change:
    if metric.endswith("_lr"):
        return (("lr_scores", "8bit"),) if protocol.lr_scores == "float" else ()
    return (("sr_rounding", "round"),) if protocol.sr_rounding == "none" else ()


def _choices(protocol: Protocol, metric: str, scale: Decimal, grey: bool) -> Iterator[tuple[str, str]]:
    kind, judged = metric.split("_")
    if protocol.plane == "rgb":
        if judged != "rgb":
            yield from (("luma", other) for other in _others(protocol, "luma"))
            if grey:
                yield "grey", "own"
        if judged != "lr":
            yield "metric", f"{kind}_{'y' if judged == 'rgb' else 'rgb'}"
    key = "lr_border" if judged == "lr" else "border"
    known = {border(getattr(protocol, key), scale)}
    # 4 and 8 px are habits of super-resolution scripts; 6 + s is EDSR's on DIV2K (Lim et al., CVPRW 2017).
    for rule in ("0", "scale", "4", str(border("scale+6", scale)), "8"):
        if (pixels := border(rule, scale)) not in known:
            known.add(pixels)
            yield key, rule
    if kind == "ssim":
        yield from (("ssim_edges", other) for other in _others(protocol, "ssim_edges"))


def _others(protocol: Protocol, switch: str) -> list[str]:
    return [value for value in get_args(get_type_hints(Protocol)[switch]) if value != getattr(protocol, switch)]


def switched(protocol: Protocol, change: Change, grey: bool) -> Protocol:
    """Apply a change for one image. grey: whether that image is."""
    given = {key: value for key, value in change if key not in ("grey", "metric")}
    if grey and ("grey", "own") in change:
        given["luma"] = "full"  # whose weights sum to 1: of three equal channels it is the channel
    return with_switches(protocol, Spec(protocol.name, tuple(given.items())))


def scored(metric: str, change: Change) -> str:
    """Name the metric that a change scores."""
    return dict(change).get("metric", metric)


def reruns(protocol: Protocol, metric: str) -> list[str]:
    """List the protocols one switch away that stored outputs cannot show, as `--protocol` takes them."""
    if metric not in SCORES:
        return []
    found = [("mod_crop", other) for other in CROPS if other != protocol.mod_crop]
    found += [("lr_rounding", other) for other in _others(protocol, "lr_rounding")]
    if metric.endswith("_lr"):
        found += [("lr_scores", "float")] * (protocol.lr_scores == "8bit")
    else:
        found += [("sr_rounding", other) for other in _others(protocol, "sr_rounding")]
        if protocol.sr_rounding == "none":
            found.remove(("sr_rounding", "round"))
    return [_respelled(protocol.name, switch) for switch in found]


def _respelled(name: str, switch: tuple[str, str]) -> str:
    spec = parse_spec(name, "protocol")
    return f"{spec.name}:{spelled(tuple(sorted({**dict(spec.given), switch[0]: switch[1]}.items())))}"
