"""From a bucket's address to obstore's store, with the credentials that the provider's own tools take."""

import os
import re
from datetime import timedelta
from typing import Any

from botocore.exceptions import BotoCoreError
from botocore.session import Session
from obstore import exceptions
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.store import from_url

from .errors import InvalidRequestError

_REQUEST_SECONDS = 30.0  # what is still being read then is asked for again, from there on
_S3, _OTHERS = ("s3", "s3a"), ("gs", "az", "azure", "abfs", "abfss")
_STATUS = re.compile(r"(?<=status code: )\d{3} [\w ]+")
_SYSTEM = re.compile(r'(?<=message: ")[^"]+')


def bucket_store(address: str, seconds: float) -> Any:
    """The library's store for a bucket's address. Raises InvalidRequestError."""
    scheme = address.partition(":")[0]
    options: dict[str, Any] = {
        "client_options": {"allow_http": True, "timeout": timedelta(seconds=min(seconds, _REQUEST_SECONDS))},
        "retry_config": {"retry_timeout": timedelta(seconds=seconds), "max_retries": 1000},
    }
    if scheme not in _S3 + _OTHERS:
        raise InvalidRequestError(
            f"{address!r} is no address of a storage: give a folder, s3://bucket/prefix, gs://… or az://…."
        )
    try:
        return from_url(address, **options, **(_profile() if scheme in _S3 else {}))
    except (exceptions.BaseError, ValueError):
        raise InvalidRequestError(f"{address!r} names no bucket as it should: s3://bucket/prefix.") from None


def _profile() -> dict[str, Any]:
    """What a profile of AWS's own files says, where there is one and the environment says no keys."""
    session = Session()
    if "AWS_ACCESS_KEY_ID" in os.environ or not session.full_config["profiles"]:
        return {}
    try:
        found: dict[str, Any] = {"credential_provider": Boto3CredentialProvider(session)}
        region, endpoint = session.get_config_variable("region"), session.get_scoped_config().get("endpoint_url")
    except (BotoCoreError, ValueError) as error:
        raise InvalidRequestError(f"AWS's profile cannot be used: {error}") from None
    return found | ({"region": region} if region else {}) | ({"endpoint": endpoint} if endpoint else {})


def reason(error: BaseException) -> str:
    """What the server or the system said, in some words, such as ": 503 Slow Down"."""
    if "TimedOut" in str(error):
        return ": no answer in time"
    found = _STATUS.search(str(error)) or _SYSTEM.search(str(error))
    return f": {found[0].strip()}" if found else ""
