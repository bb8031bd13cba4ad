"""In which precision the networks compute."""

from __future__ import annotations

import pytest
import torch

from pipeline.errors import InputError
from pipeline.methods.device import bfloat16_on

CPU = torch.device("cpu")


@pytest.mark.parametrize("precision", ["auto", "float32", "bfloat16"])
def test_bfloat16_can_be_refused_for_a_processor_that_has_it(
    monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    monkeypatch.setenv("PIPELINE_BFLOAT16", "0")
    assert bfloat16_on(CPU, precision) == (precision == "bfloat16")


def test_a_word_that_allows_nothing_and_refuses_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_BFLOAT16", "no")
    with pytest.raises(InputError, match="PIPELINE_BFLOAT16: 'no' is neither 0 nor 1"):
        bfloat16_on(CPU, "float32")
