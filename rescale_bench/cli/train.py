"""`train`: train a method by one of its recipes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rescale_bench.cli.common import add_plugin_flag, registry, say
from rescale_bench.cli.screen import show
from rescale_bench.errors import UsageError


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("train", help="train a method by one of its recipes and write its weights")
    parser.add_argument("method", help="a name from `list methods`")
    parser.add_argument("--list", action="store_true", help="list the method's recipes and stop")
    parser.add_argument("--recipe", default="small", help="paper, small, … (default: small)")
    parser.add_argument("--part", default="", help="which network, such as x2; needed where there are several")
    parser.add_argument("--data", metavar="FOLDERS", help="folders of images, joined by commas; sub-folders count")
    parser.add_argument("-o", "--output", metavar="FOLDER", help="where the weights go (default: yours, under --tag)")
    parser.add_argument("--tag", help="name of the weights (default: the recipe's name)")
    parser.add_argument("--start", default="", help="weights to start from, for recipes that need some: tag or path")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 or auto (default: cpu)")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="torch's threads (default: all cores)")
    parser.add_argument("--max-minutes", type=float, metavar="M", help="budget of time, earlier sittings included")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="what --max-minutes counts")
    parser.add_argument(
        "--fit",
        action=argparse.BooleanOptionalAction,
        help="squeeze the schedule into --max-minutes, or only stop there (default: the recipe's)",
    )
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --output, if there is one")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of everything drawn (default: 0)")
    parser.add_argument(
        "--set",
        dest="changes",
        default="",
        metavar="KEY=VALUE,…",
        help="change the recipe: steps, batch, layout.growth…",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress, no remarks")
    add_plugin_flag(parser)
    parser.set_defaults(call=call)


def call(known: argparse.Namespace, given: Sequence[str]) -> int:
    """Train, and print the files and scores."""
    del given
    from rescale_bench.training.recipe import recipes_of

    plugins = registry(known)
    method = plugins.method(known.method)
    if known.list:
        known_recipes = recipes_of(method)
        width = max(len(recipe.name) for recipe in known_recipes)
        for recipe in known_recipes:
            show(f"{recipe.name:<{width}}  {recipe.part:<4} {recipe.summary}", hang=width + 7)
        return 0
    _run(known, plugins, method)
    return 0


def _run(known: argparse.Namespace, plugins: Any, method: Any) -> None:
    from rescale_bench.training.session import train

    job = _job(known, method)
    try:
        result = train(job, plugins)
    except KeyboardInterrupt:
        if job.checkpoint.is_file() and not known.quiet:
            say(f"the state is kept in {job.checkpoint}; the same command with --resume goes on")
        raise
    state = "" if result.finished else " (stopped by --max-minutes; --resume with more of them goes on)"
    if not known.quiet:
        say(f"{result.steps} steps in {result.seconds:.0f} s{state}")
    for path in result.files:
        show(str(path))
    for name, value in result.scores.items():
        show(f"{name:<16} {value:7.3f} dB")


def _job(known: argparse.Namespace, method: Any) -> Any:
    """Check the flags and bring them together. Raises UsageError."""
    from rescale_bench.machine.device import usable_device
    from rescale_bench.training.recipe import changed, choose_recipe
    from rescale_bench.training.session import TrainingJob
    from rescale_bench.weights import stored as weights

    if not known.data:
        raise UsageError("say which folders of images to train on", "data")
    for flag, value, low in (("--threads", known.threads, 0), ("--seed", known.seed, 0)):
        if value < low:
            raise UsageError(f"{flag}: {value} is below {low}")
    if known.max_minutes is not None and not 0 < known.max_minutes < float("inf"):
        raise UsageError(f"--max-minutes: {known.max_minutes} is not a number above 0")
    recipe = changed(choose_recipe(method, known.recipe, known.part), known.changes)
    if known.fit and known.max_minutes is None:
        raise UsageError("--fit: there is no --max-minutes to squeeze the schedule into")
    tag = known.tag or recipe.name
    return TrainingJob(
        recipe=recipe,
        data=tuple(Path(text.strip()).expanduser() for text in known.data.split(",") if text.strip()),
        output=Path(known.output) if known.output else weights.place(method.name, tag, recipe.part).parent,
        tag=tag,
        device=usable_device(known.device),
        threads=known.threads,
        seed=known.seed,
        minutes=known.max_minutes,
        fit=recipe.fits_budget if known.fit is None else known.fit,
        resume=known.resume,
        start=known.start,
        quiet=known.quiet,
        clock=known.clock,
    )
