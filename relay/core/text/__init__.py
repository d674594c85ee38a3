"""Text as it is typed -> segments to speak: where sentences end, and where else a cut may fall."""
