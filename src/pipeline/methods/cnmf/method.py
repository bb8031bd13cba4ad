"""CNMF behind the protocol: the alternation on parts of a scene, and its abundances for any window.

Yokoya, Yairi and Iwasaki 2012 (IEEE TGRS 50(2), 528-537) with the observation's H and R. Given all W that the
alternation used, the abundances of a pixel depend on that pixel and on its start alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.core.sensing.nodata import filled_observation, mark_nodata
from pipeline.core.sensing.noise import philox_key
from pipeline.core.sensing.observation import Observation, ObservedScene, Progress, no_progress
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.subspace.basis import signal_dimension
from pipeline.methods.base import FittedMethod, State
from pipeline.methods.cnmf.alternation import LEAST_ENDMEMBERS, Alternation, Learned, columns
from pipeline.methods.cnmf.factorisation import Trajectory
from pipeline.methods.cnmf.settings import CnmfSettings
from pipeline.methods.pool import training_pool, unit_scale


class Cnmf:
    """The method `cnmf`, as described by `pipeline.methods.base.Method`.

    Differences from the authors' code: H and R are the observation's instead of a Gaussian and an estimate.
    Abundances are upsampled bicubically instead of bilinearly. The objective that stops an inner loop
    includes the row of the sum to one, and so never rises.

    The public code multiplies H_m by the endmembers of the last unmixing of the LR-HSI, after its abundances
    have moved away from ``H(H_m)``. That is the default. With `final: coupled`, W is taken from before: it
    then minimises ``||X - W H(H_m)||`` as in the model, which gained 1.4 to 2.6 dB on Jasper Ridge, Samson
    and CAVE brocade. The cube is never formed right after an unmixing of the HR-MSI: its W_m has moved away
    from ``R W``, and with four bands ``W H_m`` can be worse than the interpolated LR-HSI.
    """

    def __init__(self, settings: CnmfSettings) -> None:
        self.settings = settings

    def halo_lr(self, response: SpatialResponse) -> int:
        """Return the reach of the start of H_m: two LR pixels of interpolation, three more to fill no-data.

        H itself acts in the fit alone.

        Parameters
        ----------
        response : SpatialResponse
            H.
        """
        return 5 + response.shift_lr

    def fit(
        self,
        scene: ObservedScene,
        seed: int = 0,
        checkpoint: Path | None = None,
        progress: Progress = no_progress,
    ) -> FittedCnmf:
        """Run the alternation on the pool; a scene no larger than the pool is unmixed as published."""
        pool = training_pool(scene, seed, "cnmf")
        generator = np.random.Generator(np.random.Philox(key=philox_key(seed, "cnmf/vca")))
        enough = endmember_count(scene)
        alternation = Alternation(pool, unit_scale(scene), enough, self.settings, generator, progress)
        return FittedCnmf(scene, self.halo_lr(scene.spatial_response), alternation.run())

    def restore(self, scene: ObservedScene, state: State, seed: int = 0) -> FittedCnmf:
        """Take the endmembers and the trajectories from a stored state."""
        scale, weight = (float(value) for value in state["scale_and_weight"])
        hsi, msi = (
            Trajectory(state[f"{name}_endmembers"], state[f"{name}_counts"]) for name in ("hsi", "msi")
        )
        learned = Learned(state["endmembers"], hsi, msi, scale, weight)
        return FittedCnmf(scene, self.halo_lr(scene.spatial_response), learned)


class FittedCnmf(FittedMethod):
    """A scene's endmembers and the trajectories of its abundances.

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    halo_lr : int
        Number of LR pixels around a window that are read.
    learned : Learned
        Result of the alternation.
    """

    def __init__(self, scene: ObservedScene, halo_lr: int, learned: Learned) -> None:
        super().__init__(scene, halo_lr)
        self.learned = learned

    def state(self) -> State:
        """Return endmembers, all W of both trajectories with their numbers of updates, scale and weight."""
        learned = self.learned
        return {
            "endmembers": learned.endmembers,
            "hsi_endmembers": learned.hsi.endmembers,
            "hsi_counts": learned.hsi.counts,
            "msi_endmembers": learned.msi.endmembers,
            "msi_counts": learned.msi.counts,
            "scale_and_weight": np.array([learned.scale, learned.weight]),
        }

    def fuse_observation(self, observation: Observation, progress: Progress) -> NDArray[np.float32]:
        """Repeat the updates of the abundances and multiply by the endmembers."""
        learned, filled = self.learned, filled_observation(observation)
        abundances = learned.start(filled)
        learned.msi.replay(columns(filled.hr_msi, learned.scale), abundances, learned.weight)
        cube = (learned.scale * learned.endmembers).astype(np.float32) @ abundances.astype(np.float32)
        return mark_nodata(cube.reshape(-1, *observation.hr_shape), observation)


def endmember_count(scene: ObservedScene) -> int:
    """Return the number of endmembers: the LR-HSI's directions above its noise, at least 30 if possible.

    The authors' code takes the virtual dimensionality (Harsanyi, Farrand and Chang 1993), but at least 30.
    Here the Marchenko-Pastur edge replaces it, since the noise levels are known. Bands and LR pixels are
    upper limits.
    """
    height, width = scene.lr_shape
    count = max(LEAST_ENDMEMBERS, signal_dimension(scene.lr_hsi, scene.sigma_hsi))
    return min(count, scene.bands, height * width)
