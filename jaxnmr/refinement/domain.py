"""`DomainLog`: structures outside the domain of a model in the course of a refinement (host)."""

from __future__ import annotations

from collections.abc import Mapping

Outside = Mapping[tuple[str, str, str], float]


class DomainLog:
    """Sites unlike those in a model's training data, step by step.

    Steps are not refused because of it: novelty means that nothing similar was in the training data, not that
    predictions are wrong, and a start is often outside. But a minimum that was reached through such structures should
    be examined.
    """

    def __init__(self):
        self._visits: dict[tuple[str, str, str], list[tuple[int, float]]] = {}
        self._now: set[tuple[str, str, str]] = set()

    def visit(self, step: int, outside: Outside) -> str:
        """Record the sites outside the domain after a step, 0 for the start; return a note for the history."""
        self._now = set(outside)
        for key, novelty in outside.items():
            self._visits.setdefault(key, []).append((step, novelty))
        of_model: dict[str, list[str]] = {}
        for (model, _, label), novelty in outside.items():
            of_model.setdefault(model, []).append(f"{label} ({novelty:.1f})")
        return "; ".join(f"outside the domain of {model}: {', '.join(sites)}" for model, sites in of_model.items())

    def sentences(self) -> tuple[str, ...]:
        """Report sites that were outside the domain on the way but not after the last step."""
        out = []
        for (model, phase, label), visits in self._visits.items():
            steps, novelty = [step for step, _ in visits if step], max(value for _, value in visits)
            if (model, phase, label) in self._now or not steps:
                continue
            listed = ", ".join(map(str, steps[:6])) + (" ..." if len(steps) > 6 else "")
            out.append(
                f"On the way, after step{'' if len(steps) == 1 else 's'} {listed}, {label} of {phase} was unlike anything the "
                f"model {model!r} has seen (novelty up to {novelty:.1f}; above 1 an atom is outside its domain)."
            )
        return tuple(out)
