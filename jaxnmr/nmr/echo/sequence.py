"""Pulse sequences as data: pulses and delays, and their decomposition into steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..._arguments import checked, is_whole
from ..._struct import Struct, set_fields, static
from ...errors import ConventionError
from ...typing import Array

# microseconds of one unit of time, 1/γ with γ = 2π 10⁶ 1/s
UNIT_US = 1.0 / (2.0 * np.pi)


@checked
@dataclass(frozen=True)
class EchoPulse:
    """A resonant pulse: a rotation about an axis in the transverse plane.

    Attributes:
        angle_deg: rotation angle, counterclockwise when viewed against the axis.
        phase_deg: of the axis: 0 is x, 90 is y.
        steps: duration in steps, with all other interactions active; 0 for an ideal pulse without duration.
    """

    angle_deg: float
    phase_deg: float = 0.0
    steps: int = 0


@checked
@dataclass(frozen=True)
class Delay:
    """Free evolution.

    Attributes:
        steps: number of steps.
        acquire: whether a point is recorded after each of them.
    """

    steps: int
    acquire: bool = True


class Steps(NamedTuple):
    """Steps of an evolution, including ideal pulses as steps without duration (host, except ``pulse``).

    Attributes:
        duration, time: ``(steps,)`` in units of 1/γ; time is that at the end of the step.
        pulse: ``(steps, 2)`` angles by which the pulse rotates about x and y during the step.
        acquired: ``(points,)`` the steps after which a point is recorded.
    """

    duration: np.ndarray
    time: np.ndarray
    pulse: Array
    acquired: np.ndarray


class PulseSequence(Struct):
    """Pulses and delays, in steps of equal length.

    Attributes:
        angles, phases: ``(pulses,)`` in radians; results are differentiable with respect to them.
        layout: for each part ``(index of the pulse or -1, steps, whether acquired)``.
        dt: length of a step in units of 1/γ, γ = 2π·10⁶ 1/s: ``UNIT_US`` µs each.
    """

    angles: Array
    phases: Array
    layout: tuple[tuple[int, int, bool], ...] = static()
    dt: float = static()

    @checked
    def __init__(self, parts: Sequence[EchoPulse | Delay], *, dt: float):
        if not dt > 0.0:
            raise ConventionError(f"dt is {dt:g}; expected a positive length of a step, in units of 1/γ")
        angles: list[float] = []
        phases: list[float] = []
        layout: list[tuple[int, int, bool]] = []
        for k, part in enumerate(parts):
            least = 0 if isinstance(part, EchoPulse) else 1
            if not is_whole(part.steps) or part.steps < least:
                raise ConventionError(
                    f"part {k + 1} of the sequence has {part.steps} steps; expected a whole number from {least} on"
                )
            if isinstance(part, EchoPulse):
                layout.append((len(angles), int(part.steps), False))
                angles.append(np.radians(part.angle_deg))
                phases.append(np.radians(part.phase_deg))
            else:
                layout.append((-1, int(part.steps), bool(part.acquire)))
        if not any(acquired for *_, acquired in layout):
            raise ConventionError("the sequence records nothing: it has no Delay(steps) with acquire=True")
        set_fields(self, angles=np.array(angles), phases=np.array(phases), layout=tuple(layout), dt=float(dt))

    @classmethod
    def hahn(
        cls, tau_steps: int, after_steps: int | None = None, *, dt: float, refocus_phase_deg: float = 90.0
    ) -> Self:
        """Hahn echo: 90° about x, ``tau_steps``, 180°, ``after_steps`` (by default twice as many); recorded throughout."""
        after = 2 * tau_steps if after_steps is None else after_steps
        return cls([EchoPulse(90.0), Delay(tau_steps), EchoPulse(180.0, refocus_phase_deg), Delay(after)], dt=dt)

    @classmethod
    def cpmg(cls, tau_steps: int, echoes: int, *, dt: float) -> Self:
        """CPMG: 90° about x, 180° about y after τ, 3τ, 5τ ... (S. Meiboom & D. Gill, Rev. Sci. Instrum. 29, 688, 1958)."""
        train = [part for _ in range(echoes) for part in (EchoPulse(180.0, 90.0), Delay(2 * tau_steps))]
        return cls([EchoPulse(90.0), Delay(tau_steps), *train], dt=dt)

    @classmethod
    def stimulated(cls, tau_steps: int, mixing_steps: int, after_steps: int | None = None, *, dt: float) -> Self:
        """Stimulated echo: three 90° pulses separated by τ and the mixing time (E. L. Hahn, Phys. Rev. 80, 580, 1950)."""
        after = 2 * tau_steps if after_steps is None else after_steps
        pulse = EchoPulse(90.0)
        return cls([pulse, Delay(tau_steps), pulse, Delay(mixing_steps), pulse, Delay(after)], dt=dt)

    @property
    def points(self) -> int:
        """Number of points of a curve."""
        return sum(steps for _, steps, acquired in self.layout if acquired)

    @property
    def time_us(self) -> Float[np.ndarray, " points"]:
        """Recording times in µs after the start of the first pulse."""
        steps = self.steps()
        return steps.time[steps.acquired] * UNIT_US

    def steps(self) -> Steps:
        """List all steps; traceable in angles and phases."""
        owner: list[int] = []
        duration: list[float] = []
        share: list[float] = []
        acquired: list[int] = []
        for which, steps, kept in self.layout:
            count = max(steps, 1)
            if kept:
                acquired += range(len(owner), len(owner) + count)
            owner += [which] * count
            duration += [self.dt if steps else 0.0] * count
            share += [1.0 / count if which >= 0 else 0.0] * count
        angles, phases = jnp.append(jnp.asarray(self.angles), 0.0), jnp.append(jnp.asarray(self.phases), 0.0)
        axis = jnp.stack([jnp.cos(phases), jnp.sin(phases)], axis=1)
        # full turns are removed, since a rotation is accurate up to half a turn
        near = angles - 2.0 * np.pi * jnp.round(angles / (2.0 * np.pi))
        whole = np.array([steps > 0 for which, steps, _ in self.layout if which >= 0] + [False])
        turned = jnp.where(whole, angles, near)[:, None] * axis
        lengths = np.array(duration)
        return Steps(
            lengths, np.cumsum(lengths), turned[np.array(owner)] * np.array(share)[:, None], np.array(acquired)
        )
