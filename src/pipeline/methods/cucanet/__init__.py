"""CuCaNet (Yao et al., ECCV 2020): networks, responses, losses, training."""

from pipeline.methods.cucanet.method import CuCaNet, FittedCuCaNet

__all__ = ["CuCaNet", "FittedCuCaNet"]
