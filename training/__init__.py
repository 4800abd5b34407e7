"""From labelled faces to a model folder: data, augmentation, networks, training, export, evaluation.

It owns everything that is learned, and the report on it. Nothing that runs in service imports it.
"""
