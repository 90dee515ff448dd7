"""What an error message says: the kind of the error, and the port, address or device that it speaks of.

Read ``recognise()`` for a text, ``scan()`` for a stream, ``Scanner`` for what comes piece by piece. Pure: nothing is
asked of the system, and the catalogue is read when first needed.
"""

from inuse.messages.model import Guess, Kind, Recognised
from inuse.messages.scanner import Scanner, recognise, scan

__all__ = ["Guess", "Kind", "Recognised", "Scanner", "recognise", "scan"]
