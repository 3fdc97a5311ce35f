"""`recon`: a few photos in, a 3D scene and a textured mesh out."""

__version__ = "0.1.0"
