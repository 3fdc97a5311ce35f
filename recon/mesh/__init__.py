"""Stage 3: sparse voxels, FlexiCubes extraction and its refinement by rendering."""
