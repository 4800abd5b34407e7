"""Settings, errors, logs, metrics and processes. Every other package imports it; it imports none of them."""
