"""The training loop of every method."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import nn

from rescale_bench.api.records import State
from rescale_bench.errors import MethodError
from rescale_bench.machine.precision import autocast, uses_bf16
from rescale_bench.networks.residual import channels_last
from rescale_bench.training.checkpoint import Progress, save_checkpoint
from rescale_bench.training.display import Display
from rescale_bench.training.learner import MODEL, Batch, Learner
from rescale_bench.training.losses import weighted_sum
from rescale_bench.training.pool import Sampler
from rescale_bench.training.recipe import Adam, Recipe

ROWS = 200
"""Log rows of a whole training."""

CHECKPOINT_SECONDS = 120.0

Validate = Callable[[Mapping[str, State]], Mapping[str, float]]


@dataclass(frozen=True)
class Limits:
    """When to stop and where to keep the state.

    seconds: budget of all sittings together, None for no limit. fit: squeeze the schedule into it.
    checkpoint: the file. identity: what a resumed training must share, kept in it. clock: what counts the seconds.
    """

    seconds: float | None
    fit: bool
    checkpoint: Path
    identity: Mapping[str, str]
    clock: Callable[[], float] = time.monotonic


@dataclass
class Stop:
    """Whether the user, or the system, asked to stop."""

    asked: bool = False


@contextmanager
def listening() -> Iterator[Stop]:
    """Turn the first Ctrl-C or SIGTERM into a request; a second one interrupts at once.

    Outside the main thread, where Python forbids handlers, nothing is changed.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(number: int, frame: FrameType | None) -> Any:
        if stop.asked:
            signal.default_int_handler(number, frame)
        stop.asked = True

    kept = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


class Training:
    """One learner on its way through one recipe."""

    def __init__(
        self, recipe: Recipe, learner: Learner, sampler: Sampler, validate: Validate, limits: Limits, display: Display
    ) -> None:
        """Take everything; `restore` continues from a checkpoint."""
        self.recipe, self.learner, self.sampler = recipe, learner, sampler
        self.validate, self.limits, self.display = validate, limits, display
        self.progress = Progress()
        self.bf16 = uses_bf16(recipe.precision, sampler.device)
        learner.module.to(sampler.device)
        channels_last(learner.module)
        learner.module.train()
        self.players = {name: list(found) for name, found in learner.players().items()}
        self.optimizers = {name: _adam(found, self._settings(name)) for name, found in self.players.items()}
        self.began = limits.clock()
        self.saved = time.monotonic()
        self.earlier = self.rate = 0.0

    @property
    def finished(self) -> bool:
        """Tell whether the schedule is at its end."""
        return self.progress.position >= self.recipe.steps

    def restore(self, content: Mapping[str, Any]) -> None:
        """Take over the state of a checkpoint: everything that the next step depends on."""
        self.learner.module.load_state_dict(content["module"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(content["optimizers"][name])
        self.progress = Progress(**content["progress"])
        torch.set_rng_state(content["rng"])

    def run(self) -> None:
        """Train to the end of the schedule, or of the time; raise KeyboardInterrupt when told to stop.

        The state is kept in each case. Raises MethodError for a loss or gradient that is not finite, and then
        leaves the last checkpoint as it is.
        """
        self.began = self.limits.clock()
        self.saved = time.monotonic()
        self.earlier = self.progress.seconds
        with listening() as stop:
            while not (self.finished or self._out_of_time() or stop.asked):
                self._step(stop)
        if self.limits.fit and self._out_of_time():
            # A validation used up the last seconds: a squeezed schedule ends with its time.
            self.progress.position = self.recipe.steps
        self.keep()
        if stop.asked:
            raise KeyboardInterrupt

    def keep(self) -> None:
        """Write the checkpoint."""
        content = {
            **self.limits.identity,
            "module": self.learner.module.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "progress": asdict(self.progress),
            "rng": torch.get_rng_state(),
        }
        save_checkpoint(self.limits.checkpoint, content)
        self.saved = time.monotonic()

    # --- one step ----------------------------------------------------------------

    def _step(self, stop: Stop) -> None:
        progress, recipe = self.progress, self.recipe
        before = progress.position
        batch = self.sampler.batch(progress.step)
        loss = 0.0
        for player in self.learner.turn(progress.step):
            loss = self._update(player, batch)
        progress.step += 1
        progress.seconds = self.earlier + self.limits.clock() - self.began
        progress.position = self._position(before)
        self.display.update(progress.step, progress.position, recipe.batch, loss)
        if _crossed(before, progress.position, recipe.steps, ROWS):
            self._row(self._scores(before) if not stop.asked else {})
        if time.monotonic() - self.saved >= CHECKPOINT_SECONDS:
            self.keep()

    def _position(self, before: int) -> int:
        """Advance by a step, or as far as the time says; never back, so that a resumed schedule goes on."""
        position = before + 1
        if self.limits.fit and self.limits.seconds:
            position = max(position, int(self.progress.seconds / self.limits.seconds * self.recipe.steps))
        return min(position, self.recipe.steps)

    def _out_of_time(self) -> bool:
        spent = self.earlier + self.limits.clock() - self.began
        return self.limits.seconds is not None and spent >= self.limits.seconds

    def _update(self, player: str, batch: Batch) -> float:
        """Let one player learn from a batch; return its loss."""
        optimizer, parameters = self.optimizers[player], self.players[player]
        share = self.recipe.schedule.share(self.progress.position, self.recipe.steps, self.progress.drops)
        self.rate = self.recipe.adam.rate * share
        for group in optimizer.param_groups:
            group["lr"] = self._settings(player).rate * share
        with autocast(self.bf16, self.sampler.device):
            terms = self.learner.terms(batch, player)
        total = weighted_sum(terms, self.recipe.losses)
        # Everybody's, since a model's loss reaches into its rivals too.
        self.learner.module.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
        norm = nn.utils.clip_grad_norm_(parameters, self.recipe.clip or float("inf"))
        values = torch.stack([term.detach().float() for term in terms.values()] + [total.detach(), norm]).tolist()
        *numbers, loss, length = values
        found = dict(zip(terms, numbers, strict=True))
        self._check(player, found, loss, length)
        optimizer.step()
        self._add(found | ({"loss": loss} if player == MODEL else {f"loss {player}": loss}))
        return float(loss)

    def _check(self, player: str, terms: Mapping[str, float], loss: float, norm: float) -> None:
        finite = torch.isfinite(torch.tensor([loss, norm, *terms.values()])).all()
        if finite:
            return
        text = ", ".join(f"{name}={value:.6g}" for name, value in terms.items())
        kept = self.limits.checkpoint
        last = f"the last checkpoint, {kept}, is left as it was" if kept.is_file() else "nothing was written"
        raise MethodError(
            f"{self.recipe} stopped at step {self.progress.step + 1}: the loss of the {player} is not finite "
            f"({text}, total {loss:.6g}, gradient norm {norm:.6g}); {last}; "
            "start anew with a lower adam.rate or precision=float32"
        )

    # --- log ------------------------------------------------------------------------

    def _add(self, terms: Mapping[str, float]) -> None:
        running = self.progress.running
        for name, value in terms.items():
            running[name] = running.get(name, 0.0) + value
            running[f"#{name}"] = running.get(f"#{name}", 0) + 1

    def _row(self, scores: Mapping[str, float]) -> None:
        """Log the means since the last row, and scores where there are any."""
        progress, running = self.progress, self.progress.running
        means = {name: running[name] / running[f"#{name}"] for name in running if not name.startswith("#")}
        row = {
            "step": progress.step,
            "position": progress.position,
            "seconds": round(progress.seconds, 2),
            "images": progress.step * self.recipe.batch,
            "rate": self.rate,
        }
        progress.rows.append({**row, **means, **scores})
        progress.running = {}

    def _scores(self, before: int) -> Mapping[str, float]:
        """Validate where it is due, and lower a plateau's rate."""
        if not _crossed(before, self.progress.position, self.recipe.steps, self.recipe.validations):
            return {}
        scores = self.validate(self.learner.states())
        self.display.score(scores)
        judged = [value for name, value in scores.items() if name.startswith("psnr_y")]
        if judged:
            self._plateau(sum(judged) / len(judged))
        return scores

    def _plateau(self, score: float) -> None:
        progress, schedule = self.progress, self.recipe.schedule
        if score > progress.best:
            progress.best, progress.stale = score, 0
            return
        progress.stale += 1
        if schedule.kind == "plateau" and progress.stale >= schedule.patience:
            progress.drops, progress.stale = progress.drops + 1, 0

    def _settings(self, player: str) -> Adam:
        return self.recipe.adam if player == MODEL else self.recipe.rivals[player]


def _crossed(before: int, now: int, total: int, parts: int) -> bool:
    """Tell whether a position entered another of `parts` equal parts, or reached the end."""
    return before * parts // total != now * parts // total or now >= total


def _adam(parameters: list[nn.Parameter], settings: Adam) -> torch.optim.Adam:
    betas = (settings.beta1, settings.beta2)
    return torch.optim.Adam(parameters, settings.rate, betas, settings.epsilon, weight_decay=settings.decay, fused=True)
