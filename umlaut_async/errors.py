"""The errors of this package: one small tree whose leaves are also the standard types that people catch.

UmlautError
├── ArgumentError             ValueError                a value cannot be right
├── ArgumentTypeError         TypeError                 a value is of the wrong type
├── ReadOnlyError             io.UnsupportedOperation   recording into a benchmark of mode 'r'
├── ClosedError               ValueError                recording into a benchmark that was closed
├── NoRunningCallError        LookupError               track() where no call is running that could take it
└── StoreError                                          the database cannot be opened, written or read
    ├── StoreNotFoundError    FileNotFoundError
    ├── StoreDirectoryError   IsADirectoryError
    ├── StoreBusyError        BlockingIOError           another process writes it
    ├── StoreTimeoutError     TimeoutError              no answer within the deadline
    ├── StoreConnectionError  ConnectionError           a database server cannot be reached
    ├── NotAStoreError        ValueError                a file, but not one of ours
    │   ├── OldDatabaseError                            written by UMLAUT itself
    │   └── NewerSchemaError                            written by a newer version of this package
    └── CorruptStoreError     ValueError                one of ours, but damaged
"""

from __future__ import annotations

import io


class UmlautError(Exception):
    """The root of every error that this package raises."""


class ArgumentError(UmlautError, ValueError):
    """A value that was passed cannot be right."""


class ArgumentTypeError(UmlautError, TypeError):
    """A value that was passed is of the wrong type."""


class ReadOnlyError(UmlautError, io.UnsupportedOperation):
    """Something was to be recorded into a benchmark of mode 'r'."""


class ClosedError(UmlautError, ValueError):
    """Something was to be recorded into a benchmark that was closed."""


class NoRunningCallError(UmlautError, LookupError):
    """`track` was called where no running call could take the entries."""


class StoreError(UmlautError):
    """The database cannot be opened, written or read."""


class StoreNotFoundError(StoreError, FileNotFoundError):
    """There is no database at this path."""


class StoreDirectoryError(StoreError, IsADirectoryError):
    """The path of the database is a directory."""


class StoreBusyError(StoreError, BlockingIOError):
    """Another process writes this database."""


class StoreTimeoutError(StoreError, TimeoutError):
    """The collector did not answer within the deadline."""


class StoreConnectionError(StoreError, ConnectionError):
    """The server of the database cannot be reached, or the connection to it was lost."""


class NotAStoreError(StoreError, ValueError):
    """The file is not a database of this package."""


class OldDatabaseError(NotAStoreError):
    """The file was written by UMLAUT itself."""


class NewerSchemaError(NotAStoreError):
    """The file was written by a newer version of this package."""


class CorruptStoreError(StoreError, ValueError):
    """The file is a database of this package, but damaged."""
