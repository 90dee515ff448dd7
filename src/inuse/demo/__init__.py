"""Situations staged for real, to be looked at: ``inuse demo``.

A child process enters a network namespace of its own, starts a few small programs (actors.py) that
bring a situation about, asks ``inuse`` about it as anybody would, and takes everything away again.
Nothing else in ``inuse`` imports this room but the command line.
"""
