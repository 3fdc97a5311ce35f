"""Structure from motion for 3 to 30 photos."""
