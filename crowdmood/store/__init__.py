"""The state store: moods, API keys, chosen models, regions, overrides and the audit log; what outlives a run."""
