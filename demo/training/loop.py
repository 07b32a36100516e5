"""The training loop of every part of the recipe: resumable, and it reports speed and progress."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from runtime.formats.whole_files import whole_file

SEED = 20261123
SAVE_EVERY = 100
SMOOTHING = 0.98  # of the loss that is shown


class Training(ABC):
    """Trains a module for `steps` steps, and saves it in `checkpoint` so that a kill loses little.

    The learning rate warms up, then falls by a cosine to `final_share` of its peak. Every step draws its examples from
    its own generator, so a resumed run sees what an uninterrupted one would have seen.
    """

    report_every = 500

    def __init__(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        checkpoint: Path,
        steps: int,
        warm_up: int = 200,
        final_share: float = 0.05,
        max_gradient: float = 5.0,
    ) -> None:
        self.module, self.optimizer, self.checkpoint, self.steps = module, optimizer, checkpoint, steps
        self._warm_up, self._final_share, self._max_gradient = warm_up, final_share, max_gradient
        self._peaks = [group["lr"] for group in optimizer.param_groups]
        self.step = 0
        if checkpoint.exists():
            state = torch.load(checkpoint, weights_only=True)
            module.load_state_dict(state["module"])
            optimizer.load_state_dict(state["optimizer"])
            self.step = state["step"]

    @abstractmethod
    def loss(self) -> torch.Tensor:
        """The loss of this step's examples, with its gradients."""

    @abstractmethod
    def report(self) -> str:
        """How good the module is by now, on what it is not trained on."""

    def run(self, until: int | None = None) -> None:
        """Train up to step `until`, or to the end, saving and reporting on the way."""
        torch.set_flush_denormal(True)
        try:
            self._run(until or self.steps)
        finally:
            torch.set_flush_denormal(False)  # it holds for the whole thread, whatever that does next

    def _run(self, last: int) -> None:
        shown = 0.0
        with tqdm(total=last, initial=self.step, unit="step", mininterval=20) as progress:
            while self.step < last:
                loss, gradient = self._train_step()
                shown = SMOOTHING * shown + (1 - SMOOTHING) * loss if shown else loss
                progress.update()
                progress.set_postfix(loss=f"{shown:.3f}", gradient=f"{gradient:.1f}", refresh=False)
                if self.step % SAVE_EVERY == 0 or self.step == last:
                    self._save()
                if self.step % self.report_every == 0 or self.step == last:
                    progress.write(f"step {self.step}: loss {shown:.3f}, {self.report()}")

    def _train_step(self) -> tuple[float, float]:
        share = self._final_share + (1 - self._final_share) * (1 + math.cos(math.pi * self.step / self.steps)) / 2
        for group, peak in zip(self.optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * share * min(1.0, (self.step + 1) / self._warm_up)
        loss = self.loss()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        gradient = nn.utils.clip_grad_norm_(self.module.parameters(), self._max_gradient)
        self.optimizer.step()
        self.step += 1
        return loss.item(), float(gradient)

    def _save(self) -> None:
        state = {"module": self.module.state_dict(), "optimizer": self.optimizer.state_dict(), "step": self.step}
        with whole_file(self.checkpoint) as stream:
            torch.save(state, stream)
