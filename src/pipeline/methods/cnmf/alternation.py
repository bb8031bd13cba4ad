"""The alternation of CNMF: unmix the LR-HSI, then the HR-MSI with its endmembers, and so on.

Yokoya, Yairi and Iwasaki 2012 (IEEE TGRS 50(2), 528-537). The images are coupled by ``H_h = H(H_m)`` and
``W_m = R W``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from pipeline.core.sensing.nodata import coupled_pixels, filled_observation, missing_pixels
from pipeline.core.sensing.observation import Observation, Progress
from pipeline.core.sensing.spatial import upsample
from pipeline.core.subspace.endmembers import vca
from pipeline.errors import InputError
from pipeline.methods.cnmf.factorisation import Factorisation, Matrix, Recorder, Trajectory, descend
from pipeline.methods.cnmf.settings import CnmfSettings

FLOOR = 1e-9  # least value at the start: multiplicative updates never change a zero
LEAST_ENDMEMBERS = 30  # in the authors' code
FREE_BANDS = 4  # MSI bands from which on W_m is updated, in the authors' code
OUTER_TOLERANCE = 1e-2
INNER_TOLERANCE = 1e-8


@dataclass(frozen=True)
class Learned:
    """Result of the alternation: endmembers, and the updates that give the abundances of any window.

    Attributes
    ----------
    endmembers : (C, M)
        W, divided by the scale.
    hsi : Trajectory
        Updates of the first unmixing of the LR-HSI, from which H_m starts.
    msi : Trajectory
        Updates of all unmixings of the HR-MSI.
    scale : float
        Number by which the images are divided.
    weight : float
        Weight of the row that makes the abundances sum to one.
    """

    endmembers: Matrix
    hsi: Trajectory
    msi: Trajectory
    scale: float
    weight: float

    def start(self, observation: Observation) -> Matrix:
        """Return the abundances ``(M, H W)`` with which the unmixing of the HR-MSI starts: H_h, upsampled."""
        return started(observation, self.hsi, self.scale, self.weight)


def columns(image: NDArray[np.float32], scale: float) -> Matrix:
    """Return an image as columns ``(C, N)``, divided by its scale; noise below zero becomes zero."""
    return np.maximum(image.reshape(len(image), -1) / np.float64(scale), 0)


def started(observation: Observation, hsi: Trajectory, scale: float, weight: float) -> Matrix:
    """Unmix an LR-HSI by the updates of its first unmixing, and upsample the abundances.

    Parameters
    ----------
    observation : Observation
        Part of the scene, without no-data.
    hsi : Trajectory
        Updates of the first unmixing of the LR-HSI.
    scale : float
        Number by which the images are divided.
    weight : float
        Weight of the row that makes the abundances sum to one.

    Returns
    -------
    (M, H W) float64
    """
    count = hsi.endmembers.shape[-1]
    height, width = observation.lr_shape
    abundances = np.full((count, height * width), 1 / count)
    hsi.replay(columns(observation.lr_hsi, scale), abundances, weight)
    planes = abundances.reshape(count, height, width)
    fine = upsample(planes, observation.hr_shape, observation.spatial_response.shift)
    return np.maximum(fine, FLOOR, out=fine).reshape(count, -1)


class Alternation:
    """The alternation on parts of a scene, over their valid pixels.

    Parameters
    ----------
    pool : list of Observation
        Parts of the scene.
    scale : float
        Number by which the images are divided.
    enough : int
        Number of endmembers if the settings name none and the pool has as many valid LR pixels.
    settings : CnmfSettings
        Numbers of updates, weight of the sum to one, and choice of the final endmembers.
    generator : Generator
        Draws the directions of the vertex component analysis.
    progress : callable
        Receives the phase, the number of finished updates and the objective.
    """

    def __init__(
        self,
        pool: list[Observation],
        scale: float,
        enough: int,
        settings: CnmfSettings,
        generator: np.random.Generator,
        progress: Progress,
    ) -> None:
        self.settings, self.scale, self.progress = settings, scale, progress
        self.parts = [filled_observation(part) for part in pool]
        self.response = pool[0].spectral_response
        self.fine_valid = [~missing_pixels(part.hr_msi).ravel() for part in pool]
        self.coarse_valid = [coupled_pixels(part).ravel() for part in pool]
        if not any(valid.any() for valid in self.coarse_valid):
            raise InputError(
                "cnmf: no LR pixel has data together with all HR pixels on which it depends; "
                "fill the gaps of hr_msi or crop to where both images have data"
            )
        hsi = self._gathered([part.lr_hsi for part in self.parts], self.coarse_valid)
        self.msi = self._gathered([part.hr_msi for part in self.parts], self.fine_valid)
        self.weight = settings.sum_to_one or sum_to_one_weight(self.msi)
        count = settings.endmembers or min(enough, hsi.shape[1])
        endmembers = np.maximum(vca(hsi, count, generator)[0], FLOOR)
        self.hsi = Factorisation(hsi, endmembers, np.full((count, hsi.shape[1]), 1 / count), self.weight)

    def run(self) -> Learned:
        """Return the endmembers that belong to the last H_m, and the updates that lead to it.

        The alternation ends when the error of either image falls by less than `OUTER_TOLERANCE` in an outer
        loop. The new H_m of that loop is not used.
        """
        first = self._first_unmixing()
        msi = Recorder(
            Factorisation(self.msi, self._endmembers_msi(), self._interpolated(first), self.weight)
        )
        self._unmix_msi(msi, 0)
        errors = np.array([self.hsi.error(), msi.factors.error()])
        for loop in range(1, self.settings.outer_loops + 1):
            endmembers = self._unmix_hsi(msi.factors.abundances, loop)
            learned = Learned(endmembers, first, msi.trajectory, self.scale, self.weight)
            if loop == self.settings.outer_loops:
                break
            self._unmix_msi(msi, loop)
            last, errors = errors, np.array([self.hsi.error(), msi.factors.error()])
            if (last - errors <= OUTER_TOLERANCE * last).any():
                break
        return learned

    def _first_unmixing(self) -> Trajectory:
        """Update H_h with the endmembers of the vertex component analysis, then both in turn."""
        hsi, inner = Recorder(self.hsi), self.settings.inner_loops
        self._descend("LR-HSI", hsi.update_abundances, self.hsi, 3 * inner)
        self._descend("LR-HSI, both factors", hsi.update_both, self.hsi, inner)
        return hsi.trajectory

    def _unmix_msi(self, msi: Recorder, loop: int) -> None:
        """Update H_m with ``W_m = R W``, then both in turn, or H_m alone if there are few bands."""
        msi.factors.endmembers = self._endmembers_msi()
        self._descend(f"HR-MSI {loop}", msi.update_abundances, msi.factors)
        update = msi.update_both if len(self.msi) >= FREE_BANDS else msi.update_abundances
        self._descend(f"HR-MSI {loop}, both factors", update, msi.factors)

    def _unmix_hsi(self, abundances: Matrix, loop: int) -> Matrix:
        """Update W with ``H_h = H(H_m)``, then both in turn; return the W that is multiplied by H_m."""
        self.hsi.abundances = self._degraded(abundances)
        self._descend(f"LR-HSI {loop}", self.hsi.update_endmembers, self.hsi)
        coupled = self.hsi.endmembers
        self._descend(f"LR-HSI {loop}, both factors", self.hsi.update_both, self.hsi)
        return coupled if self.settings.final == "coupled" else self.hsi.endmembers

    def _descend(
        self, phase: str, update: Callable[[], None], factors: Factorisation, limit: int | None = None
    ) -> None:
        limit = limit or self.settings.inner_loops
        for done, value in enumerate(descend(update, factors.objective, limit, INNER_TOLERANCE), 1):
            self.progress(phase, done, limit, value)

    def _endmembers_msi(self) -> Matrix:
        """Return ``R W``, non-negative even if an estimated R is not."""
        return np.maximum(self.response @ self.hsi.endmembers, FLOOR)

    def _interpolated(self, first: Trajectory) -> Matrix:
        """Return the H_m ``(M, N)`` of the valid HR pixels with which its unmixing starts."""
        return np.hstack(
            [
                started(part, first, self.scale, self.weight)[:, valid]
                for part, valid in zip(self.parts, self.fine_valid, strict=True)
            ]
        )

    def _degraded(self, abundances: Matrix) -> Matrix:
        """Return H of the abundances ``(M, N)`` of the valid HR pixels, at the valid LR pixels."""
        ends = np.cumsum([valid.sum() for valid in self.fine_valid])
        of_parts = np.split(abundances, ends[:-1], axis=1)
        degraded = [
            np.stack([_degraded_plane(part, row, fine)[coarse] for row in rows])
            for part, rows, fine, coarse in zip(
                self.parts, of_parts, self.fine_valid, self.coarse_valid, strict=True
            )
        ]
        return np.maximum(np.hstack(degraded), FLOOR)

    def _gathered(self, images: list[NDArray[np.float32]], valid: list[NDArray[np.bool_]]) -> Matrix:
        """Return the valid pixels of all parts as columns."""
        return np.hstack(
            [columns(image, self.scale)[:, mask] for image, mask in zip(images, valid, strict=True)]
        )


def _degraded_plane(part: Observation, values: Matrix, valid: NDArray[np.bool_]) -> Matrix:
    """Return H of a plane ``(h w,)`` from its valid HR pixels; wrong where H depends on others."""
    plane = np.zeros(valid.size)
    plane[valid] = values
    return part.operator.forward(plane.reshape(part.hr_shape)).ravel()


def sum_to_one_weight(msi: Matrix) -> float:
    """Return the weight of the authors' code: ``2 sqrt(mean / 0.7455) / c^3``.

    With more than three bands it is so small that the abundances follow the illumination.

    Parameters
    ----------
    msi : (c, N)
        The HR-MSI, with values between 0 and 1.
    """
    return 2 * sqrt(msi.mean() / 0.7455) / len(msi) ** 3
