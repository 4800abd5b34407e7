"""Makes the simulator's bank of synthetic faces: fits a generative model, draws persons, checks and measures them."""
