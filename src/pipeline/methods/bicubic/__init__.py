"""The LR-HSI interpolated bicubically."""

from pipeline.methods.bicubic.method import Bicubic

__all__ = ["Bicubic"]
