"""Getting a port or device back: plan (pure), act (through the hands of a system), look again."""
