"""CNMF (Yokoya, Yairi and Iwasaki 2012): coupled non-negative matrix factorisation."""

from pipeline.methods.cnmf.method import Cnmf, FittedCnmf

__all__ = ["Cnmf", "FittedCnmf"]
