"""What to do about the errors of SQLite.

Part of Kaizen Store 0.2.0 (https://github.com/kaizen-store/kaizen-store), Apache-2.0.
"""

import os
import sqlite3

ERROR_HINTS = {
    "locked": "another program is holding a lock on it: stop that program, then try again",
    "too many open files": "too many open files: close some, or raise the limit (ulimit -n)",
    "unable to open": "check that it is a file, that its folder exists and you may write there",
    "readonly": "check that you may write to the file and to its folder",
    "not a database": "the file is not an SQLite database and was left unchanged: use another path",
    "full": "the disk is full and nothing from this call was saved: free some space and try again",
    "disk I/O": "the disk may be full or failing: free some space or repair it, then try again",
    "malformed": "the file is damaged: keep a copy of it, and use another path or a backup",
    "removed or replaced": "stop all programs that use it, then restore it; before you put "
    "another file in its place, such as a backup, delete the old -wal and -shm files next to it, "
    "because they would corrupt the new database",
    "no such column": "its table oauthtoken was created by another program: use another path",
}
"""What to do about an error, by a part of its text; the first that fits counts."""


def error_hint(error: BaseException) -> str:
    """Return what to do about an error of a database, or an empty string.

    :param error: the error.
    """
    if not isinstance(error, (sqlite3.Error, OSError)):
        return ""
    text = "unable to open" if isinstance(error, OSError) else str(error)
    if "unable to open" in text:
        # SQLite does not say why. The database itself must not be opened to find out: closing it
        # would end the locks that this process has on it.
        # https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_
        try:
            os.close(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            text = "too many open files"
    return next((hint for part, hint in ERROR_HINTS.items() if part in text), "")
