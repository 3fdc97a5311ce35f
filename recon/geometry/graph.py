"""Connected parts of graphs."""

from __future__ import annotations

import numpy as np


def connected(count: int, links: np.ndarray) -> np.ndarray:
    """[count] which part each node belongs to, 0, 1, ...; links: [E, 2] nodes that belong together."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    graph = coo_matrix((np.ones(len(links), bool), (links[:, 0], links[:, 1])), (count, count))
    labels: np.ndarray = connected_components(graph, directed=False)[1]
    return labels
