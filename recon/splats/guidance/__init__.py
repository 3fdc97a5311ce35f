"""Priors in the optimisation: where and when they look, and how far they are trusted."""
