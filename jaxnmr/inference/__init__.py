"""Amortised inference: a posterior trained once on simulations gives immediate results for observations."""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .calibration import Coverage, ToldApart, coverage, score, told_apart
    from .echo import challenge_problem, challenge_recipe, echo_numbers, echo_problem, echo_recipe, families_recipe
    from .experts import Experts, fit_experts
    from .families import Families, fit_families
    from .inferred import Inferred
    from .local import refine_locally
    from .posterior import Posterior
    from .prior import BoxPrior, Parameter
    from .problem import Bank, Problem, simulate_bank
    from .training import Epoch, NoiseLevel, Recipe, fit_posterior

__all__ = [
    "Bank",
    "BoxPrior",
    "Coverage",
    "Epoch",
    "Experts",
    "Families",
    "Inferred",
    "NoiseLevel",
    "Parameter",
    "Posterior",
    "Problem",
    "Recipe",
    "ToldApart",
    "challenge_problem",
    "challenge_recipe",
    "coverage",
    "echo_numbers",
    "echo_problem",
    "echo_recipe",
    "families_recipe",
    "fit_experts",
    "fit_families",
    "fit_posterior",
    "refine_locally",
    "score",
    "simulate_bank",
    "told_apart",
]

__getattr__, __dir__ = lazy(
    __name__,
    names={
        "Bank": "problem",
        "BoxPrior": "prior",
        "Coverage": "calibration",
        "Epoch": "training",
        "Experts": "experts",
        "Families": "families",
        "Inferred": "inferred",
        "NoiseLevel": "training",
        "Parameter": "prior",
        "Posterior": "posterior",
        "Problem": "problem",
        "Recipe": "training",
        "ToldApart": "calibration",
        "challenge_problem": "echo",
        "challenge_recipe": "echo",
        "coverage": "calibration",
        "echo_numbers": "echo",
        "echo_problem": "echo",
        "echo_recipe": "echo",
        "families_recipe": "echo",
        "fit_experts": "experts",
        "fit_families": "families",
        "fit_posterior": "training",
        "refine_locally": "local",
        "score": "calibration",
        "simulate_bank": "problem",
        "told_apart": "calibration",
    },
)
