"""Labels, messages and moods: the values that stages exchange. No module here does I/O."""
