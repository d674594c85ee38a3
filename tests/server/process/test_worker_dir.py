"""What the processes of one relay share."""

from pathlib import Path

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
