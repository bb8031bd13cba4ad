"""Whether the two images of a pair agree through their responses, and if not, the most likely causes.

H(Y) and R X contain the same light: where they differ by more than noise, the images, the responses or the
place are not what the fusion was told. Each finding is one plain sentence. Nothing here reads a reference.
"""

from pipeline.core.estimation.agreement.battery import Finding, agreement, radiometric_agreement
from pipeline.core.estimation.agreement.uniform import Suspicion, suspicious_values

__all__ = ["Finding", "Suspicion", "agreement", "radiometric_agreement", "suspicious_values"]
