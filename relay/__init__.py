"""relay: any speech provider in, exact PCM frames out, first audio as early as physics allows.

Importing this package imports nothing else: a provider's worker process, which needs two files of it, starts in 30 ms.
"""

__version__ = "0.1.0"
