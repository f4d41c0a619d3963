"""A person's own files read as data: checkpoints, programs and lists of class names; nothing in them is executed."""
