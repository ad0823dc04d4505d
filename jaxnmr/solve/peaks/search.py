"""Search for the peaks of one pattern: noise, background, common profile, groups fitted in turn (host)."""

import numpy as np
from jaxtyping import Bool, Float

from ...diffraction import Instrument, Pattern
from ...diffraction.baseline import baseline, scatter, smooth, stiffness_of
from .groups import Group, Window, fitted
from .growth import HUMP, grown, pruned
from .shape import first_shape, learnt

# the background contains no features narrower than this many peak widths
_BACKGROUND = 40.0
# a group is fitted with a margin of this many widths; wider gaps separate groups
_MARGIN, _GAP = 5.0, 4.0
_MOST_TOGETHER = 9
# initial deviation of a peak from the profile, as a fraction of its height
_MISFIT = 0.02
# feature size in widths for the detection of humps
_RISES = 10.0


class Search:
    """Search for the peaks of one pattern."""

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
        """Return the given uncertainties, or the scatter if the intensities are not counts."""
        sigma = np.asarray(self.pattern.sigma, float)
        factor = scatter(self.y, sigma, self.keep, (1,), 0.2)
        if 0.0 < factor < 0.4 and np.allclose(sigma, np.sqrt(np.maximum(self.y, 1.0))):
            self.notes.append("the intensities are no counts: their scatter is used as their uncertainty")
            return np.full_like(sigma, scatter(self.y, np.ones_like(sigma), self.keep, (1,), 0.3))
        return sigma

    def _quiet_noise(self) -> Float[np.ndarray, " points"]:
        """Return the noise, scaled up to the scatter of regions without peaks."""
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
        """Return the median width of the most prominent maxima, degrees."""
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
        """Return positions and heights of maxima above a multiple of the noise, without those of Kα2."""
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
        """Fit the common profile to the strong isolated peaks."""
        # repeat once the quality is known: only a good profile determines the axial divergence
        self.shape = self.shape.with_(misfit=_MISFIT, shl=self.instrument.shl)
        for once_more in (False, True):
            position, height = self._maxima(8.0)
            if not len(position):
                return
            fwhm, noise = self.shape.fwhm(position), np.interp(position, self.x, self.noise)
            gap = np.abs(position[:, None] - position)
            gap[gap == 0.0] = np.inf
            near = (gap < 6.0 * fwhm[:, None]) & (height > 0.1 * height[:, None])
            single = np.flatnonzero(~near.any(axis=1))
            order = single[np.argsort(-(height / noise)[single])]
            reach = np.clip(gap.min(axis=1) - 2.0 * fwhm, 2.5 * fwhm, 6.0 * fwhm)
            said = self.instrument if once_more else None
            self.shape = learnt(self._around, position[order], height[order], reach[order], self.shape, said)
            if not once_more:
                self.shape = self.shape.with_(misfit=min(self.shape.misfit, _MISFIT))

    def _around(self, at: float, reach: float) -> Window | None:
        """Return the window of a single peak with free width and mixing."""
        level = 3.0 * float(np.interp(at, self.x, self.noise))
        return self._window(at - reach, at + reach, self.y - self.background, level, width=5.0, mixing=0.5)

    def start(self) -> None:
        """Make groups of the present maxima."""
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

    def model(self) -> Float[np.ndarray, " points"]:
        total = np.zeros_like(self.x)
        for group in self.groups:
            inside, curve = self._curve(group)
            total[inside] += curve
        return total

    def sweep(self, *, grow: bool) -> None:
        """Fit every group after subtraction of the others."""
        model = self.model()
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
                    group = grown(group, window, self.shape)
                group = pruned(group, window, self.shape, self.significance)
                self.groups[k] = group
            if len(group.position):
                inside, curve = self._curve(group)
                model[inside] += curve
        self.groups = [g for g in self.groups if len(g.position)]

    def run(self) -> None:
        """Run all steps."""
        self.learn()
        self.start()
        self.sweep(grow=False)
        model = self.model()
        noise = np.sqrt(self.noise**2 + (max(self.shape.misfit, 0.01) * model) ** 2)
        self.background = self._baseline(self.y - model, noise)
        self.sweep(grow=True)
        self.sweep(grow=True)

    def kept(self, two_theta: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """Return whether these angles lie in the pattern and outside excluded regions."""
        nearest = np.clip(np.searchsorted(self.x, two_theta - 0.5 * self.step), 0, len(self.x) - 1)
        return self.keep[nearest] & (two_theta > self.x[0]) & (two_theta < self.x[-1])

    def rises(self) -> list[tuple[float, float]]:
        """Find broad maxima of the residual, degrees: positions and widths."""
        from scipy.signal import find_peaks as maxima
        from scipy.signal import peak_widths

        model = self.model()
        trust = self.keep * self.noise**2 / (self.noise**2 + (max(self.shape.misfit, 0.01) * model) ** 2)
        fwhm = float(np.median(self.shape.fwhm(self.x))) / self.step
        left = smooth(self.y - model, trust, stiffness_of(max(_RISES * fwhm, 10.0)))
        place, said = maxima(left, prominence=0.0)
        high = said["prominences"] > np.maximum(10.0 * self.noise[place], 0.25 * np.abs(left[place]))
        place = place[high & self.keep[place]]
        if not len(place):
            return []
        width = peak_widths(left, place, rel_height=0.5)[0] * self.step
        wide = width > HUMP * self.shape.fwhm(self.x[place])
        return [(float(at), float(w)) for at, w in zip(self.x[place][wide], width[wide], strict=True)]
