"""What became of a request to a folder or bucket, in a sentence.

The library's own errors hold addresses with signatures, and all that the server answered.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOENT

from obstore import exceptions

from .errors import HiggsError, InvalidRequestError

_TOLD = {
    "TimedOut": "no answer in time",
    "configured region": "the bucket is in another region",
    "dns error": "nobody knows its server's name",
    "InvalidCertificate": "its server's certificate is not trusted",
}
_STATUS = re.compile(r"(?<=status code: )\d{3} [\w ]+")
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")  # such as ExpiredToken
_SYSTEM = re.compile(r'(?<=message: ")[^"]+')


class StorageError(HiggsError):
    """A folder or bucket could not be read or written. The sentence holds no credentials and no signed address."""

    code = "storage_error"


class AlreadyStoredError(StorageError):
    """Something has this name already, or is no longer what it was when it was looked at."""

    code = "already_stored"
    retryable = False


def already_stored(where: str) -> AlreadyStoredError:
    """The error for a name that is taken."""
    return AlreadyStoredError(f"{where} is there already, or has changed meanwhile.")


@contextmanager
def told(where: str, bucket: str) -> Iterator[None]:
    """Turns the library's errors into ours. where: the file's address. bucket: the address that has the bucket's name.

    Raises StorageError, FileNotFoundError, and InvalidRequestError for what cannot be a name.
    """
    try:
        yield
    except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
        raise already_stored(where) from None
    except FileNotFoundError as error:
        if "NoSuchBucket" in str(error):
            raise _no_bucket(bucket) from None
        raise FileNotFoundError(ENOENT, os.strerror(ENOENT), where) from None
    except ValueError:  # of the library's own notion of a path
        raise InvalidRequestError(
            f"{where!r} names no file: no part of it may be empty, '.' or '..', or hold what is no character."
        ) from None
    except exceptions.InvalidPathError as error:
        reason = str(error).splitlines()[0]
        raise StorageError(f"{where} holds a name that cannot be used: {reason}.", retryable=False) from None
    except (exceptions.BaseError, NotImplementedError, OSError) as error:  # a writer's are OSErrors
        if "NoSuchBucket" in str(error):  # as a listing has it
            raise _no_bucket(bucket) from None
        reason = _reason(error)
        kinds = (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)
        if isinstance(error, kinds) or reason.startswith((": 401", ": 403")):
            raise StorageError(f"{where} may not be used with these credentials{reason}.", retryable=False) from None
        raise StorageError(f"{where} could not be reached or used{reason}.") from None


def _no_bucket(address: str) -> StorageError:
    return StorageError(f"There is no bucket {address}.", retryable=False)


def _reason(error: BaseException) -> str:
    """What the server or the system said, in some words, such as ": 503 Slow Down"."""
    for word, meaning in _TOLD.items():
        if word in str(error):
            return f": {meaning}"
    found = _STATUS.search(str(error)) or _SYSTEM.search(str(error))
    code = _CODE.search(str(error)) if found and found[0].startswith("4") else None
    return f": {found[0].strip()}{f' ({code[1]})' if code else ''}" if found else ""
