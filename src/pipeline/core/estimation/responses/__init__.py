"""Responses estimated from the pair itself: R, gain and offset of its bands, and the PSF.

R is estimated by non-negative smooth regression, the PSF as a shifted Gaussian or a kernel, in turn
(`alternation`). Held-out blocks give standard errors and goodness of fit.
"""

from __future__ import annotations

from pipeline.core.estimation.responses.estimate import Responses, estimate_responses

__all__ = ["Responses", "estimate_responses"]
