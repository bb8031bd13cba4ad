"""In which precision the networks compute, and how their threads wait."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from pipeline.errors import InputError
from pipeline.methods.device import bfloat16_on, reproducible

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


def test_a_reproducible_computation_leaves_the_settings_as_they_were() -> None:
    def switches() -> list[bool]:
        memory = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
        tf32 = torch.backends.cuda.matmul.allow_tf32
        return [torch.are_deterministic_algorithms_enabled(), memory, tf32]

    before = switches()
    with reproducible(torch.device("cuda"), 1):
        assert switches() == [True, False, False]
    assert switches() == before == [False, True, before[2]]


def test_threads_that_wait_sleep_unless_the_environment_says_otherwise() -> None:
    """OpenMP gives account of its settings; GNU's, which PyTorch for Linux has, in these words."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_WAIT", "GOMP_"))}
    for given, policy, spins in (({}, "PASSIVE", "0"), ({"OMP_WAIT_POLICY": "active"}, "ACTIVE", "0")):
        account = subprocess.run(
            [sys.executable, "-c", "import pipeline, torch"],
            env=kept | {"OMP_DISPLAY_ENV": "VERBOSE"} | given,
            capture_output=True,
            text=True,
            check=True,
        ).stderr
        if "GOMP_SPINCOUNT" not in account:
            pytest.skip("this PyTorch has another OpenMP")
        assert f"OMP_WAIT_POLICY = '{policy}'" in account
        assert f"GOMP_SPINCOUNT = '{spins}'" in account


def test_pytorch_that_was_loaded_first_is_told_of() -> None:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OMP_WAIT")}
    for given in ({}, {"OMP_WAIT_POLICY": "active"}):
        command = [sys.executable, "-c", "import torch, pipeline"]
        done = subprocess.run(command, env=kept | given, capture_output=True, text=True, check=True)
        assert ("import pipeline first, or set OMP_WAIT_POLICY=PASSIVE" in done.stderr) == (not given)
