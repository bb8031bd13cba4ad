"""Where the pixels of an LR-HSI lie on an HR-MSI, found from the two images, and how precisely.

Phase correlation (Kuglin and Hines 1975), then least squares on the residual. No image is resampled
to be fused: the shift goes into H. Only bands of one detector may be brought to another's shift.
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
