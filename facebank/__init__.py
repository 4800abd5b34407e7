"""Make the simulator's bank of synthetic faces: fit a generative model, draw people, check and measure them."""
