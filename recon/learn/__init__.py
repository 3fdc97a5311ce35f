"""What is trained on runs of recon: the small prior, its data, and its adaptation to a scene."""
