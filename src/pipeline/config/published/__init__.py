"""Results printed in the ARGS-Diff paper (Zhu et al., CVPR 2025, arXiv 2505.11800), by data set.

The numbers lie in `results.json` beside this module: Tables 1 to 3 and the ablation of the ARGM.

>>> published_results("ksc")[6]
Result(name='ARGS-Diff', method='args_diff', psnr=43.63, sam=2.54, ergas=1.25, ssim=0.98, seconds=13)
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

SOURCE = "Zhu et al., CVPR 2025 (arXiv 2505.11800), Tables 1 to 3 and the ablation of the ARGM"
TABLES: dict[str, Any] = json.loads(files(__package__).joinpath("results.json").read_text("utf-8"))


@dataclass(frozen=True)
class Result:
    """One printed line.

    Attributes
    ----------
    name : str
        Name of the method in the publication.
    method : str or None
        The same method in this package, if there is one.
    psnr, sam, ergas, ssim : float or None
        In dB and degrees; None where the publication gives no value.
    seconds : float
        Time of sampling alone on an RTX 4090.
    """

    name: str
    method: str | None
    psnr: float
    sam: float
    ergas: float | None
    ssim: float | None
    seconds: float


def published_results(dataset: str) -> list[Result]:
    """Return the printed lines of a data set, in their order.

    Parameters
    ----------
    dataset : str
        Key of `TABLES`.
    """
    return [Result(**line) for line in TABLES[dataset]["results"]]


def published_methods() -> set[str]:
    """Return the names in this package of the methods that have printed results."""
    return {line["method"] for table in TABLES.values() for line in table["results"] if line["method"]}
