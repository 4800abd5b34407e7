"""Labels, messages and moods: the values that travel from stage to stage, without I/O."""
