"""A loss that has diverged, recognised from the lines of metrics alone."""

from __future__ import annotations

from compactbio.errors import UserError

NEGLIGIBLE = 1.0  # in the loss's unit, nats for the shipped objectives and tasks
FACTOR = 2.0
LEARNT = 0.5  # of the first loss: a run with a line below it has learnt something it can lose
FIRST_LINES = 2
FIRST_STEPS = 50
ENOUGH_STEPS = 10  # fewer are no mean to go by
PATIENCE_LINES = 3
PATIENCE_STEPS = 100


class LossError(UserError):
    """The loss diverges or is not finite: the next try from the same checkpoint would compute the same."""


class LossWatch:
    """Recognises a diverging loss by the means between lines of metrics.

    The first loss is the largest of the lines up to step 50, of two lines at least. A later line is high where its
    loss is above 1 and above twice the first loss; once a later line was below half of the first loss, lines are high
    from the first loss on. A run has diverged when its last lines, at least 3 and over at least 100 steps, are high.

    Why so: a healthy run stays below where it started, so only the start is compared with. Minima are not, because a
    fine-tuning comes near 0, where a harmless rise is a large ratio; nor is anything below 1, because a student that
    starts as its teacher's equal has next to no loss at first. Noise of small batches is in the first loss too, since
    it is a maximum, and a spike ends before three lines do. What this lets pass: a loss that jumps to a constant
    within the first lines, and runs too short for the patience; numbers that are not finite stop every run.

    Nothing but the lines is looked at, and they lie beside the checkpoint: a resumed run decides as an uninterrupted
    one does.
    """

    def __init__(self) -> None:
        self.lines = 0
        self.first = 0.0
        self.smallest = float("inf")
        self.last_step = 0
        self.high_lines = 0
        self.high_since = 0

    def add(self, step: int, loss: float) -> None:
        """Take the next line: the mean loss of the steps since the line before."""
        self.lines += 1
        if self.lines <= FIRST_LINES or step <= FIRST_STEPS:
            self.first = max(self.first, loss)
        else:
            self.smallest = min(self.smallest, loss)
            if not self.is_high(loss):
                self.high_lines = 0
            elif self.high_lines == 0:
                self.high_lines, self.high_since = 1, self.last_step
            else:
                self.high_lines += 1
        self.last_step = step

    def is_high(self, loss: float) -> bool:
        """Return whether a mean loss after the first lines is one that no healthy run stays at."""
        if self.lines < FIRST_LINES:
            return False
        limit = self.first if self.smallest < LEARNT * self.first else FACTOR * self.first
        return loss > max(limit, NEGLIGIBLE)

    def is_suspicious(self, steps: int, loss: float) -> bool:
        """Return whether the last line was high, or the mean loss of the steps after it is."""
        return self.high_lines > 0 or (steps >= ENOUGH_STEPS and self.is_high(loss))

    @property
    def diverged(self) -> bool:
        """Return whether the loss has been high for so long that it will not come back."""
        return self.high_lines >= PATIENCE_LINES and self.last_step - self.high_since >= PATIENCE_STEPS

    def in_words(self) -> str:
        """Return what was seen, for messages."""
        return f"it was {self.first:.4g} in the first lines of metrics and {self.smallest:.4g} at best after them"
