"""The user's Drive, as a folder."""

from pathlib import Path

from . import _message


def mount(mountpoint, force_remount=False, timeout_ms=120000, readonly=False):
    """Put the Drive there; the page is asked first. `MyDrive` is what is in it."""
    if " " in mountpoint:
        raise ValueError("Mountpoint must not contain a space.")
    seconds = int(timeout_ms / 1000)
    _message.blocking_request(
        "request_auth", request={"authType": "dfs_ephemeral"}, timeout_sec=seconds
    )
    place = Path(mountpoint).expanduser()
    if (place / "MyDrive").is_dir() and not force_remount:
        print(
            f"Drive already mounted at {mountpoint}; to attempt to forcibly remount, call "
            f'drive.mount("{mountpoint}", force_remount=True).'
        )
        return
    if place.is_symlink():
        raise ValueError("Mountpoint must not be a symlink")
    if place.is_dir() and any(place.iterdir()):
        raise ValueError("Mountpoint must not already contain files")
    if not place.parent.is_dir():
        raise ValueError("Mountpoint must be in a directory that exists")
    (place / "MyDrive").mkdir(parents=True, mode=0o500 if readonly else 0o700)
    print(f"Mounted at {mountpoint}")
