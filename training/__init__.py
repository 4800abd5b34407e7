"""From labelled faces to a model folder: data, augmentation, networks, training, export, evaluation."""
