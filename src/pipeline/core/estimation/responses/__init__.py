"""Responses estimated from the pair itself: R, gain and offset of its bands, and the PSF.

R by non-negative smooth regression, the PSF as a shifted Gaussian or a kernel, by turns
(`alternation`), with errors and goodness of fit from held-out blocks. Noise levels are estimated in
`pipeline.core.estimation.noise_levels`, a first shift in `pipeline.core.estimation.shift`.
"""

from __future__ import annotations

from pipeline.core.estimation.responses.estimate import Responses, estimate_responses

__all__ = ["Responses", "estimate_responses"]
