"""Depths that photos agree on: planes at every pixel, searched by sweeps of the native core."""
