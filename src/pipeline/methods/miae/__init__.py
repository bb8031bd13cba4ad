"""MIAE (Liu, Wu, Xiao, Wu, IEEE TGRS 2022): an autoencoder of single pixels, trained on the observed pair."""

from pipeline.methods.miae.method import Miae

__all__ = ["Miae"]
