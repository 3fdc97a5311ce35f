"""Cameras around a masked object, from its outlines."""
