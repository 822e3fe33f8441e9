"""Training data on disk, losses, the training loop and the log of what was tried."""
