"""What things are: instruments, the schema of columns and frames, units, clocks."""
