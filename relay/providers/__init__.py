"""Speech providers: one pure file each, and the drivers that do their I/O."""
