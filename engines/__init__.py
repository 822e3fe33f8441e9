"""What computes: the network, its weights, the back ends, training, simulation and evaluation."""
