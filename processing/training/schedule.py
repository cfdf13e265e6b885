"""What changes as training goes on: the size of the samples and the learning rate."""

from __future__ import annotations

from dataclasses import dataclass

from processing.errors import DatasetError


@dataclass(frozen=True)
class Schedule:
    """A plan over a number of samples.

    Small pictures teach what the subject is, cheaply; large ones at the end teach where its edge runs. The learning
    rate rises for `warm_up` samples, stays, and falls in a straight line to a hundredth over the last `decay` share. A
    plan is made longer by asking for more samples: until its decay begins, nothing of what was done is lost.

    Parameters
    ----------
    samples : int
        How many samples the whole run sees.
    stages : tuple of (int, float)
        Size in pixels, and the share of the samples taken at it, in their order.
    decay, warm_up : float, int
        Share of the samples over which the rate falls, and number of samples over which it rises, at most a twentieth
        of all.
    """

    samples: int
    stages: tuple[tuple[int, float], ...] = ((128, 0.55), (192, 0.25), (256, 0.13), (320, 0.07))
    decay: float = 0.4
    warm_up: int = 3000

    def progress(self, seen: int) -> float:
        """Give the share of the plan that is done."""
        return min(1.0, seen / self.samples)

    def size(self, seen: int) -> int:
        """Give the size in pixels for the next sample."""
        end, total = 0.0, sum(share for _, share in self.stages)
        for size, share in self.stages:
            end += share / total
            if self.progress(seen) < end:
                return size
        return self.stages[-1][0]

    def factor(self, seen: int) -> float:
        """Give the factor on the learning rate for the next step, from 0 to 1."""
        fall = max(0.01, min(1.0, (1 - self.progress(seen)) / self.decay)) if self.decay else 1.0
        return min(1.0, (seen + 1) / min(self.warm_up, 0.05 * self.samples)) * fall

    @staticmethod
    def parse_stages(text: str) -> tuple[tuple[int, float], ...]:
        """Read `128:0.6,320:0.4`."""
        try:
            stages = tuple((int(size), float(share)) for size, share in (part.split(":") for part in text.split(",")))
        except ValueError as error:
            raise DatasetError(f"--stages {text!r} is not of the form 128:0.6,320:0.4 (pixels:share).") from error
        if any(size % 32 or size < 64 or share <= 0 for size, share in stages):
            raise DatasetError(f"--stages {text!r}: sizes must be multiples of 32, at least 64, and shares above 0.")
        return stages
