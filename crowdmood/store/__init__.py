"""The state store: moods, API keys, chosen models and regions; what outlives a run."""
