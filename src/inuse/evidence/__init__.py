"""What was seen of the roles that holders play: plain frozen data, part of a Scene."""
