"""What the processes of one relay share."""

from pathlib import Path

import pytest

from relay.server.process import worker_dir as shared


def test_alone_a_process_has_a_secret_of_its_own_and_no_store() -> None:
    assert shared.secret() != shared.secret()
    assert len(shared.secret()) >= 32
    assert shared.store() == ""


def test_what_is_shared_is_one_and_goes_with_the_folder() -> None:
    with shared.folder():
        secret, store = shared.secret(), shared.store()
        assert (secret, store) == (shared.secret(), shared.store())
        assert len(secret) >= 32
        kind, _, path = store.partition(":")
        assert kind == "sqlite"
        folder = Path(path).parent
        assert folder.stat().st_mode & 0o077 == 0, "for this user alone"
    assert not folder.exists()
    assert shared.store() == ""
    assert shared.secret() != secret


def test_a_folder_whose_processes_are_dead_goes_and_one_in_use_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dead, foreign = tmp_path / f"{shared.PREFIX}dead", tmp_path / f"{shared.PREFIX}foreign"
    for path in (dead, foreign):
        path.mkdir()
        (path / shared.SECRET_FILE).write_text("secret")
    (dead / shared.LOCK_FILE).touch()
    with shared.folder() as ours:
        assert not dead.exists()
        assert foreign.exists(), "it has no lock: whose it is cannot be known"
        shared.remove_abandoned()
        assert ours.exists()
    shared.remove_abandoned()
    assert [path.name for path in tmp_path.iterdir()] == [foreign.name]


def test_a_worker_keeps_the_folder_of_a_dead_supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = tmp_path / f"{shared.PREFIX}1"
    path.mkdir()
    (path / shared.LOCK_FILE).touch()
    monkeypatch.setenv(shared.VARIABLE, str(path))
    with shared.used():
        shared.remove_abandoned()
        assert path.exists()
    shared.remove_abandoned()
    assert not path.exists()
    with shared.used():
        pass


def test_an_error_within_is_not_swallowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(shared.VARIABLE, str(tmp_path / "gone"))
    with pytest.raises(FileNotFoundError, match="mine"), shared.used():
        raise FileNotFoundError("mine")
