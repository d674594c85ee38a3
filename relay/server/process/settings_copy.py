"""The settings that workers are started with: copies, so that all of them have the same and none has half an edit.

A worker that replaces a crashed one gets the settings of its neighbours, whatever has happened to the file since;
`SIGHUP` is what makes the file count.
"""

import os
from collections.abc import Callable
from pathlib import Path

from relay.config import DEFAULT_FILE, Config, ConfigError


class SettingsCopies:
    """Copies of the settings file, one for each generation, in `folder`. `load` reads and checks the file itself.

    `named` is the file that was asked for; without it the one that RELAY_CONFIG names or the one that lies here counts,
    and if there is none, the copy is empty: one that is made later does not count before it is asked for.
    """

    def __init__(self, folder: Path, named: str | None, load: Callable[[], Config]) -> None:
        self._folder = folder
        self._named = named or os.environ.get("RELAY_CONFIG")
        self._load = load

    def add(self, generation: int) -> Config:
        """Copies the file as it is now. Raises ConfigError if it is wrong, and copies nothing."""
        config = self._load()
        file = Path(self._named or DEFAULT_FILE)
        try:
            content = file.read_bytes() if self._named or file.exists() else b""
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
        self.path(generation).write_bytes(content)
        return config

    def path(self, generation: int) -> Path:
        return self._folder / f"settings-{generation}.toml"

    def keep(self, generations: set[int]) -> None:
        """Removes the copies of all others."""
        wanted = {self.path(generation) for generation in generations}
        for path in self._folder.glob("settings-*.toml"):
            if path not in wanted:
                path.unlink()
