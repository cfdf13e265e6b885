"""Training of our own background removal network."""
