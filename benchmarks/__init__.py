"""Measurements behind the figures that the project quotes. Everything that is compared is measured in one run."""
