"""The one noun that every stage takes and returns: `Scene`, and its form on disk."""

from recon.scene.nodes import Mesh, Node, Photo, Points, Relation, Splats, View
from recon.scene.scene import Scene, StageRecord

__all__ = ["Mesh", "Node", "Photo", "Points", "Relation", "Scene", "Splats", "StageRecord", "View"]
