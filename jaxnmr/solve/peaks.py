"""`find_peaks`: the reflections of a powder pattern, with the uncertainties of their positions (host)."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from .._arguments import checked
from ..diffraction import Instrument, Pattern
from ..errors import ConventionError, DataError
from ..units import FWHM_PER_SIGMA
from .peak_background import baseline, scatter
from .peak_groups import Group, Window, candidates, fitted, uncertainties
from .peak_shape import companions, first_shape, learnt
from .records import Peaks

# the background follows no wave shorter than so many widths of a peak
_BACKGROUND = 40.0
# a group fits its peaks and so many widths to both sides; wider gaps part groups
_MARGIN, _GAP = 5.0, 4.0
_MOST_TOGETHER = 9
# chi² that a further peak or a width of its own must gain
_GAIN = 25.0
# widths over that of the curve: a hump, and a spike of a single point
_HUMP, _SPIKE = 2.0, 0.4
# widths that differ by less say nothing about lines that are not resolved
_WIDER = 1.1
# of its width, the best that the position of a peak is known to
_LEAST = 0.01
_FEWEST = 8


@checked
def find_peaks(
    pattern: Pattern,
    instrument: Instrument | None = None,
    *,
    low: float | None = None,
    high: float | None = None,
    most: int = 60,
    significance: float = 5.0,
) -> Peaks:
    """Find the reflections of a pattern.

    Args:
        pattern: as measured; excluded regions are left out.
        instrument: by default that of the pattern. Its wavelengths and their ratio are used (a Kα2 is part of each peak), and its
            axial divergence as a first guess.
        low, high: degrees; where to look.
        most: peaks listed, counted from the lowest angle.
        significance: least area over its uncertainty.

    Raises:
        ConventionError: no wavelength.
        DataError: too few points.
    """
    instrument = instrument or pattern.instrument
    if instrument is None:
        raise ConventionError(
            f"{pattern.name} does not say which wavelength it was measured with: "
            "find_peaks(pattern, Instrument(wavelengths=(1.5406,))) says it, or read_pattern(..., wavelength=1.5406)"
        )
    instrument.require_wavelength()
    if low is not None or high is not None:
        pattern = pattern.limited(low, high)
    if pattern.included().sum() < 50:
        raise DataError(
            f"{pattern.name}: {int(pattern.included().sum())} points are no pattern to look for peaks in; expected 50 or more"
        )
    search = _Search(pattern, instrument, most=most, significance=significance)
    return search.peaks()


class _Search:
    """One pattern on its way to a list of peaks."""

    def __init__(self, pattern: Pattern, instrument: Instrument, *, most: int, significance: float) -> None:
        self.pattern, self.instrument = pattern, instrument
        self.most, self.significance = most, significance
        self.x, self.y = np.asarray(pattern.x, float), np.asarray(pattern.y, float)
        self.keep = pattern.included()
        self.notes: list[str] = []
        self.noise = self._first_noise()
        self.step = float(np.median(np.diff(self.x)))
        self.shape = first_shape(instrument, self._first_width())
        self.background = self._baseline(self.y, self.noise)
        self.noise = self._quiet_noise()
        self.groups: list[Group] = []

    def _first_noise(self) -> Float[np.ndarray, " points"]:
        """Uncertainties as given, or the scatter where the intensities are no counts."""
        sigma = np.asarray(self.pattern.sigma, float)
        factor = scatter(self.y, sigma, self.keep, (1,), 0.2)
        if 0.0 < factor < 0.4 and np.allclose(sigma, np.sqrt(np.maximum(self.y, 1.0))):
            self.notes.append("the intensities are no counts: their scatter is used as their uncertainty")
            return np.full_like(sigma, scatter(self.y, np.ones_like(sigma), self.keep, (1,), 0.3))
        return sigma

    def _quiet_noise(self) -> Float[np.ndarray, " points"]:
        """The noise, scaled up to the scatter where there are no peaks."""
        from scipy.ndimage import uniform_filter1d

        quiet = self.keep & (np.abs(uniform_filter1d(self.y - self.background, 5)) < 2.0 * self.noise)
        factor = scatter(self.y, self.noise, quiet)
        if factor < 1.15:
            return self.noise
        self.notes.append(
            f"the points scatter {factor:.2g} times as much as their uncertainties say; the scatter is used"
        )
        return self.noise * factor

    def _first_width(self) -> float:
        """Median width of the most prominent maxima, degrees."""
        from scipy.ndimage import gaussian_filter1d
        from scipy.signal import find_peaks as maxima
        from scipy.signal import peak_widths

        y = np.where(self.keep, self.y, np.interp(self.x, self.x[self.keep], self.y[self.keep]))
        found = 5.0 * self.step
        for blur in (0.7, 2.0):
            smoothed = gaussian_filter1d(y, blur)
            for least in (40.0, 15.0, 7.0):
                place, said = maxima(smoothed, prominence=least * np.median(self.noise), width=1.5)
                prominent = said["prominences"] / self.noise[place]
                chosen = place[np.argsort(-prominent)[:25]]
                chosen = chosen[prominent[np.argsort(-prominent)[:25]] > least]
                if len(chosen) >= 4 or (len(chosen) and least == 7.0):
                    return float(np.median(peak_widths(smoothed, chosen, rel_height=0.5)[0])) * self.step
        return found

    def _baseline(self, y: np.ndarray, noise: np.ndarray) -> Float[np.ndarray, " points"]:
        fwhm = float(np.median(self.shape.fwhm(self.x)))
        trust = np.maximum((self.noise / noise) ** 2, 1e-4)
        return baseline(y, noise, self.keep, max(_BACKGROUND * fwhm / self.step, 30.0), trust)

    def _maxima(self, least: float) -> tuple[np.ndarray, np.ndarray]:
        """Positions and heights of maxima so many times above the noise, those of Kα2 left out."""
        from scipy.ndimage import gaussian_filter1d
        from scipy.signal import find_peaks as maxima

        net = np.where(self.keep, self.y - self.background, 0.0)
        fwhm = self.shape.fwhm(self.x) / self.step
        spans = np.geomspace(fwhm.min(), fwhm.max(), 4) if fwhm.max() > 1.1 * fwhm.min() else fwhm[:1]
        nearest = np.argmin(np.abs(np.log(fwhm[:, None] / spans)), axis=1)
        smoothed, noise = np.zeros_like(net), np.zeros_like(net)
        for k, span in enumerate(spans):
            blur = max(0.5 * span / 2.355, 0.4)
            here = nearest == k
            smoothed[here] = gaussian_filter1d(net, blur)[here]
            share = 1.0 / np.sqrt(max(2.0 * np.sqrt(np.pi) * blur, 1.0))
            noise[here] = (np.sqrt(gaussian_filter1d(self.noise**2, blur)) * share)[here]
        place, _ = maxima(smoothed / noise, prominence=least)
        place = place[(smoothed[place] > least * noise[place]) & self.keep[place]]
        position, height = self.x[place], smoothed[place]
        if len(self.shape.wavelengths) == 2 and self.shape.ratio:
            second = self.shape.second(position)
            own = np.ones(len(position), bool)
            for at, top in zip(second, height, strict=True):
                if np.isfinite(at):
                    limit = 0.35 * self.shape.fwhm(np.array([at]))[0]
                    own &= ~((np.abs(position - at) < limit) & (height < 1.5 * self.shape.ratio * top))
            position, height = position[own], height[own]
        return position, height

    def _window(self, first: float, last: float, y: np.ndarray, level: float, **loose: float) -> Window | None:
        inside = (self.x >= first) & (self.x <= last) & self.keep
        if inside.sum() < 7:
            return None
        net = np.maximum(self.y - self.background, 0.0)[inside]
        noise = self.noise[inside]
        sigma = np.sqrt(noise**2 + (max(self.shape.misfit, 0.003) * net) ** 2)
        return Window(self.x[inside], y[inside], sigma, noise, level, **loose)

    def learn(self) -> None:
        """The common profile from the strong single peaks."""
        position, height = self._maxima(8.0)
        if not len(position):
            return
        fwhm = self.shape.fwhm(position)
        single = np.ones(len(position), bool)
        for k in range(len(position)):
            gap = np.abs(position - position[k])
            near = (gap > 0) & (gap < 6.0 * fwhm[k])
            single[k] = not (near & (height > 0.1 * height[k])).any()
        noise = np.interp(position, self.x, self.noise)
        order = np.argsort(-np.where(single, height / noise, 0.0))[: int(single.sum())]
        # few are too many of one angle: the strongest of the whole range are taken
        self.shape = self.shape.with_(misfit=0.02)
        net = self.y - self.background
        windows = lambda at, reach: self._window(
            at - reach, at + reach, net, 3.0 * float(np.interp(at, self.x, self.noise)), width=5.0, mixing=0.5
        )
        self.shape = learnt(windows, position[order], height[order], self.shape, self.instrument)

    def start(self) -> None:
        """Groups of the maxima that are there."""
        position, height = self._maxima(5.0)
        position, height = position[: int(1.3 * self.most) + 5], height[: int(1.3 * self.most) + 5]
        self.groups = self._grouped(position, height * self.shape.fwhm(position) * 1.2)

    def _grouped(self, position: np.ndarray, area: np.ndarray) -> list[Group]:
        fwhm = self.shape.fwhm(position)
        groups = []
        for part in np.split(np.arange(len(position)), np.flatnonzero(np.diff(position) > _GAP * fwhm[1:]) + 1):
            pieces = [part]
            while max(map(len, pieces)) > _MOST_TOGETHER:
                longest = max(range(len(pieces)), key=lambda k: len(pieces[k]))
                whole = pieces.pop(longest)
                gaps = np.diff(position[whole])[1:-1]
                at = int(np.argmax(gaps)) + 2
                pieces[longest:longest] = [whole[:at], whole[at:]]
            groups += [Group.start(position[piece], area[piece]) for piece in pieces if len(piece)]
        return groups

    def _curve(self, group: Group) -> tuple[slice, np.ndarray]:
        reach = 60.0 * float(group.fwhm(self.shape).max())
        inside = slice(*np.searchsorted(self.x, [group.position.min() - reach, group.position.max() + reach]))
        return inside, group.curve(self.x[inside], self.shape)

    def _model(self) -> Float[np.ndarray, " points"]:
        total = np.zeros_like(self.x)
        for group in self.groups:
            inside, curve = self._curve(group)
            total[inside] += curve
        return total

    def sweep(self, *, grow: bool) -> None:
        """Fit every group with the others taken off."""
        model = self._model()
        edges = [(g.position.min(), g.position.max()) for g in self.groups]
        for k, group in enumerate(self.groups):
            fwhm = float(self.shape.fwhm(group.position).max())
            first, last = edges[k][0] - _MARGIN * fwhm, edges[k][1] + _MARGIN * fwhm
            if k:
                first = max(first, 0.5 * (edges[k - 1][1] + edges[k][0]) - 0.5 * fwhm)
            if k + 1 < len(edges):
                last = min(last, 0.5 * (edges[k + 1][0] + edges[k][1]) + 0.5 * fwhm)
            inside, curve = self._curve(group)
            model[inside] -= curve
            net = self.y - self.background - model
            top = float(np.max(group.area / group.fwhm(self.shape)))
            noise = float(np.interp(group.position.mean(), self.x, self.noise))
            window = self._window(first, last, net, 2.0 * noise + 0.005 * top)
            if window is not None:
                group = fitted(group, window, self.shape)
                if grow:
                    group = self._grown(group, window)
                group = self._pruned(group, window)
                self.groups[k] = group
            if len(group.position):
                inside, curve = self._curve(group)
                model[inside] += curve
        self.groups = [g for g in self.groups if len(g.position)]

    def _grown(self, group: Group, window: Window) -> Group:
        """Add peaks, split one, or give one a width of its own, whatever the pattern asks for most, until it asks no more."""
        for _ in range(12):
            best = None
            for trial, count in self._trials(group, window):
                new = fitted(trial, window, self.shape)
                gained = group.chi2 - new.chi2 - _GAIN - 4.0 * count
                if gained > 0.0 and self._plausible(new) and (best is None or gained > best[0]):
                    best = gained, new
            if best is None:
                return group
            group = best[1]
        return group

    def _trials(self, group: Group, window: Window) -> list[tuple[Group, int]]:
        """What else the peaks of a group may be, with the number of parameters more."""
        grid, gain, area, widths = candidates(group, window, self.shape)
        found = []
        tops = [j for j in range(len(grid)) if gain[j] > _GAIN and gain[j] == gain[max(j - 2, 0) : j + 3].max()]
        for j in sorted(tops, key=lambda j: -gain[j])[:2]:
            apart = np.abs(group.position - grid[j])
            if not len(apart) or apart.min() > 0.2 * self.shape.fwhm(grid[j : j + 1])[0]:
                found.append((self._with(group, grid[j], area[j]), 2))
        alone = len(group.position) == 1
        for j in range(len(group.position)):
            wide = widths[j] > _GAIN or group.stretch[j] > 0.2 or (alone and group.common > 0.08)
            if wide:
                found.append((self._split(group, j), 2))
            if wide and not group.own[j] and (not alone or abs(group.common) > window.width):
                own = group.own.copy()
                own[j] = True
                found.append((replace(group, own=own), 1))
        return found

    def _split(self, group: Group, j: int) -> Group:
        """One peak made two of the usual width."""
        away = 0.35 * float(group.fwhm(self.shape)[j])
        position, area, stretch, own = (v.copy() for v in (group.position, group.area, group.stretch, group.own))
        position[j] -= away
        area[j] *= 0.5
        stretch[j], own[j] = 0.0, False
        split = replace(group, position=position, area=area, stretch=stretch, own=own)
        return self._with(split, position[j] + 2.0 * away, area[j])

    def _with(self, group: Group, position: float, area: float) -> Group:
        order = np.argsort([*group.position, position], kind="stable")
        pick = lambda old, new: np.array([*old, new])[order]
        return replace(
            group, position=pick(group.position, position), area=pick(group.area, area), stretch=pick(group.stretch, 0.0),
            own=pick(group.own, False).astype(bool),
        )  # fmt: skip

    def _plausible(self, group: Group) -> bool:
        """Whether no peak is but a correction of the profile of a stronger one beside it."""
        fwhm = group.fwhm(self.shape)
        for j in range(len(group.position)):
            apart = np.abs(group.position - group.position[j]) / np.maximum(fwhm, fwhm[j])
            apart[j] = np.inf
            if apart.min() < 0.35 or group.area[j] <= 0.0:
                return False
            if (group.area[j] < 1.5 * self.shape.misfit * group.area[apart < 2.5]).any():
                return False
        return True

    def _pruned(self, group: Group, window: Window) -> Group:
        """Without what the pattern can do without, the weakest first."""
        while len(group.position):
            _, sigma, _ = uncertainties(group)
            strength = group.area / np.maximum(sigma, 1e-300)
            j = int(np.argmin(strength))
            if strength[j] > self.significance:
                return group
            left = np.arange(len(group.position)) != j
            fewer = replace(
                group,
                position=group.position[left],
                area=group.area[left],
                stretch=group.stretch[left],
                own=group.own[left],
            )
            if not left.any():
                return replace(fewer, covariance=None, inflation=None)
            group = fitted(fewer, window, self.shape)
        return group

    def peaks(self) -> Peaks:
        """All steps."""
        self.learn()
        self.start()
        self.sweep(grow=False)
        model = self._model()
        noise = np.sqrt(self.noise**2 + (max(self.shape.misfit, 0.01) * model) ** 2)
        self.background = self._baseline(self.y - model, noise)
        self.sweep(grow=True)
        self.sweep(grow=True)
        return self._listed()

    def _listed(self) -> Peaks:
        rows, humps = [], []
        for group in self.groups:
            sigma, sigma_area, _ = uncertainties(group)
            fwhm, usual = group.fwhm(self.shape), self.shape.fwhm(group.position)
            for j in range(len(group.position)):
                if fwhm[j] > _HUMP * usual[j]:
                    humps.append((float(group.position[j]), float(fwhm[j])))
                elif fwhm[j] > _SPIKE * usual[j]:
                    # what the profile does not describe, and lines that are not resolved, may lie to either side
                    profile = np.hypot(0.5 * self.shape.misfit, _LEAST) * fwhm[j]
                    axial = self.shape.misfit * float(self.shape.extent(group.position[j : j + 1])[0]) / 3.0
                    hidden = 0.5 * np.sqrt(max(fwhm[j] ** 2 - (_WIDER * usual[j]) ** 2, 0.0)) / FWHM_PER_SIGMA
                    error = np.sqrt(sigma[j] ** 2 + profile**2 + axial**2 + hidden**2)
                    rows.append((group.position[j], error, group.area[j], sigma_area[j], fwhm[j]))
        table = self._genuine(np.array(sorted(rows)).reshape(-1, 5))
        if len(table) > self.most:
            self.notes.append(f"the first {self.most} of more peaks are listed; most=... takes more")
            table = table[: self.most]
        humps = [h for h in (*humps, *self._rises()) if not len(table) or h[0] < table[-1, 0]]
        if len(table) < _FEWEST:
            self.notes.append(f"{len(table)} peaks were found; an indexing needs {_FEWEST} or more")
        notes = (*self.pattern.notes, *self.notes)
        return Peaks(*table.T, np.array(sorted(humps)).reshape(-1, 2), self.instrument, self.pattern.name, notes)

    def _rises(self) -> list[tuple[float, float]]:
        """Broad maxima of the background, degrees: positions and widths."""
        from scipy.signal import find_peaks as maxima
        from scipy.signal import peak_widths

        place, said = maxima(self.background, prominence=0.0)
        high = said["prominences"] > np.maximum(10.0 * self.noise[place], 0.25 * np.abs(self.background[place]))
        place = place[high & self.keep[place]]
        if not len(place):
            return []
        width = peak_widths(self.background, place, rel_height=0.5)[0] * self.step
        wide = width > _HUMP * self.shape.fwhm(self.x[place])
        return [(float(at), float(w)) for at, w in zip(self.x[place][wide], width[wide], strict=True)]

    def _genuine(self, table: Float[np.ndarray, "peaks 5"]) -> Float[np.ndarray, "peaks 5"]:
        """Without the weak companions that other lines of the tube give to strong peaks."""
        if self.instrument.radiation != "xray" or self.instrument.geometry != "bragg-brentano":
            return table
        own = np.ones(len(table), bool)
        sine, area = np.sin(np.radians(table[:, 0] / 2.0)), table[:, 2]
        slack = 0.5 * np.cos(np.radians(table[:, 0] / 2.0)) * np.radians(3.0 * table[:, 1] + 0.01)
        seen = float(np.quantile(table[:, 3], 0.1)) * self.significance if len(table) else 0.0
        said = []
        for name, shortest, longest, share in companions(self.instrument.wavelengths[0]):
            # rows are companions, columns what they may be companions of
            pair = (sine * shortest < (sine + slack)[:, None]) & (sine * longest > (sine - slack)[:, None])
            weak = pair & (area[:, None] < share * area)
            strong = np.argsort(-area)[:6]
            strong = strong[(sine * shortest)[strong] > sine[0] - slack[0]]
            # no more of it than the strongest peaks have, where it is not hidden beside them
            most = share
            if longest == shortest and len(strong):
                found = np.where(weak, area[:, None], 0.0).max(axis=0)
                most = 3.0 * float(np.median(np.maximum(found, seen)[strong] / area[strong]))
            made = (weak & (area[:, None] < most * area)).any(axis=1) & own
            own &= ~made
            said += [f"{at:.2f} ({name})" for at in table[made, 0]]
        if said:
            self.notes.append(
                f"weak lines at {', '.join(said)} degrees are left out: other radiation of the tube makes them of strong peaks"
            )
        return table[own]
