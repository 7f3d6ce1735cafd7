"""The compiled CPU kernels: how they are built, loaded, and run as a program of one step."""
