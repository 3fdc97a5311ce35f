"""Thin adapters to other programs. Nothing else in the package imports them."""
