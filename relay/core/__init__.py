"""The pure core: no clock, socket, randomness or third party. Time enters as a number, identity as an argument."""
