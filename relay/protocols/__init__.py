"""Wire protocols: pure translators between bytes on a wire and `core.events`, one file each."""
