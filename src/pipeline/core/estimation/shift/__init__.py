"""Position of the pixels of an LR-HSI on an HR-MSI, estimated from the two images, with standard errors.

Phase correlation (Kuglin and Hines 1975), then least squares on the residual. The shift goes into H, and no
image is resampled for the fusion. The exception are bands of a detector, which may be moved to the shift of
another detector.
"""

from pipeline.core.estimation.shift.detectors import ResampledBands, most_precise, resampled_bands
from pipeline.core.estimation.shift.estimate import Alignments, estimate_alignment
from pipeline.core.estimation.shift.refinement import Alignment

__all__ = [
    "Alignment",
    "Alignments",
    "ResampledBands",
    "estimate_alignment",
    "most_precise",
    "resampled_bands",
]
