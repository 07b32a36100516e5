"""The training loop of every part of the recipe: on a GPU or a CPU, resumable, for so many steps or minutes."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from runtime.formats.whole_files import whole_file

SEED = 20261123
SAVE_SECONDS, REPORT_SECONDS = 60, 300
REPORTS = 8  # of a run of so many minutes
SMOOTHING = 0.98  # of the loss that is shown
SHOWN_EVERY = 20  # steps: reading the loss waits for a GPU
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
# Whether the matrices are multiplied in bfloat16: where the machine has instructions for it.
IN_BFLOAT16 = DEVICE.type == "cuda" or torch.cpu.get_capabilities().get("avx512_bf16", False)


class Training(ABC):
    """Trains a module for `steps` steps, or for a time, and saves it in `checkpoint` so that a kill loses little.

    The learning rate warms up, then falls by a cosine to `final_share` of its peak as `progress` goes from 0 to 1. A
    run may begin on a GPU and end on a CPU. Every step draws its examples from its own generator, so a resumed run sees
    what an uninterrupted one would have seen.
    """

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
        self.step, self.progress = 0, 0.0
        if checkpoint.exists():
            state = torch.load(checkpoint, weights_only=True, map_location=DEVICE)
            module.load_state_dict(state["module"])
            if "optimizer" in state:  # restored from a published checkpoint, it begins anew
                optimizer.load_state_dict(state["optimizer"])
            self.step, self.progress = state["step"], state["progress"]

    @abstractmethod
    def loss(self) -> torch.Tensor:
        """The loss of this step's examples, with its gradients."""

    @abstractmethod
    def report(self) -> str:
        """How good the module is by now, on what it is not trained on."""

    def run(self, until: int | None = None, minutes: float | None = None) -> None:
        """Train to the end, or up to step `until`, saving and reporting on the way.

        With `minutes` the end comes after so many, however many steps they hold; saving and reporting count.
        """
        torch.set_flush_denormal(True)
        try:
            self._run(until, minutes)
        finally:
            torch.set_flush_denormal(False)  # it holds for the whole thread, whatever that does next

    def _run(self, until: int | None, minutes: float | None) -> None:
        begun = saved = reported = time.monotonic()
        before, shown = self.progress, 0.0
        report_seconds = REPORT_SECONDS if minutes is None else min(REPORT_SECONDS, minutes * 60 / REPORTS)
        with tqdm(
            total=until or (None if minutes else self.steps), initial=self.step, unit="step", mininterval=20
        ) as bar:
            while self.progress < 1 and self.step != until:
                loss = self._train_step()
                now = time.monotonic()
                if minutes is None:
                    self.progress = self.step / self.steps
                else:
                    self.progress = min(1.0, before + (1 - before) * (now - begun) / (60 * minutes))
                bar.update()
                if self.step % SHOWN_EVERY == 0 or self.progress == 1:
                    kept = SMOOTHING**SHOWN_EVERY if shown else 0.0
                    shown = kept * shown + (1 - kept) * loss.item()
                    bar.set_postfix(loss=f"{shown:.3f}", done=f"{self.progress:.1%}", refresh=False)
                if now - saved > SAVE_SECONDS:
                    self._save()
                    saved = now
                if now - reported > report_seconds:
                    bar.write(f"step {self.step}, {now - begun:.0f} s: loss {shown:.3f}, {self.report()}")
                    reported = now
        self._save()
        print(f"step {self.step}, {time.monotonic() - begun:.0f} s: loss {shown:.3f}, {self.report()}", flush=True)

    def _train_step(self) -> torch.Tensor:
        share = self._final_share + (1 - self._final_share) * (1 + math.cos(math.pi * self.progress)) / 2
        for group, peak in zip(self.optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * share * min(1.0, (self.step + 1) / self._warm_up)
        loss = self.loss()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.module.parameters(), self._max_gradient)
        self.optimizer.step()
        self.step += 1
        return loss.detach()

    def _save(self) -> None:
        state = {
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "progress": self.progress,
        }
        with whole_file(self.checkpoint) as stream:
            torch.save(state, stream)
