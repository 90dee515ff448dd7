"""From a Diagnosis to what a person or a script reads; functions without side effects."""
