"""The rooms that ask the operating system; parsers in them are pure."""
