"""The state store: moods, API keys, chosen models, regions and the audit log; what outlives a run."""
