"""Long text, spoken without a listener: submitted, polled, downloaded. Jobs survive the end of the process."""
