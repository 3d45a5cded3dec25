"""A diffusers pipeline folder as people have them: its files, its settings, its networks; read, checked, or refused."""
