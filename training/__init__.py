"""From labelled faces to a model folder: data, augmentation, networks, training, export, evaluation.

It owns everything that is learned, and the report on it; it must not be needed by anything that runs in service.
"""
