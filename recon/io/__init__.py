"""Files in and out: captures with known cameras, photos, splits, PLY, video. One file per format."""
