"""Settings, errors, logs, metrics and processes: what every other package uses. It uses none of them."""
