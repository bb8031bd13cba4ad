"""Step `align`: two real images on nested grids, cut to their common footprint, with the shift between them.

The shift that the georeferences leave is estimated from the images. Whole HR pixels of it move the
window that is cut from the MSI, and what remains goes into H: spectra are not resampled, except for
those of a detector that is displaced against the others. What is known of responses and noise here is
a first guess, which `estimate` settles.
"""

from __future__ import annotations
