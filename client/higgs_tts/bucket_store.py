"""From a bucket's address to obstore's store, with the credentials that the provider's own tools take."""

import os
import re
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlsplit

from botocore.exceptions import BotoCoreError
from botocore.session import Session
from obstore import exceptions
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.store import from_url

from .errors import InvalidRequestError

_REQUEST_SECONDS = 30.0  # what is still being read then is asked for again, from there on
_S3, _WITH_ACCOUNT = ("s3", "s3a"), ("abfs", "abfss")  # abfss://container@account…/prefix
_OTHERS = ("gs", "az", "azure", *_WITH_ACCOUNT)
_ADDRESS = re.compile(r"(?P<scheme>\w+)://(?P<bucket>[^/\s:?#%@]+(?P<account>@[^/\s:?#%@]+)?)(?P<prefix>/.*)?")
_KEYS = re.compile(r"[^/]*//[^/]*:.*@")
_HOST = re.compile(r"[\w.:-]+")
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_WRONG = re.compile(r"Missing \w+|Account must be specified|Unable to open service account file|Invalid Access Key")


def bucket_store(address: str, seconds: float) -> Any:
    """The library's store for a bucket's address, whose prefix stands for itself. Raises InvalidRequestError."""
    scheme = address.partition(":")[0]
    options: dict[str, Any] = {
        "client_options": {"allow_http": True, "timeout": timedelta(seconds=min(seconds, _REQUEST_SECONDS))},
        "retry_config": {"retry_timeout": timedelta(seconds=seconds), "max_retries": 1000},
    }
    if _KEYS.match(address):
        raise InvalidRequestError("An address names a bucket and no keys: give these in the provider's variables.")
    if scheme not in _S3 + _OTHERS:
        raise InvalidRequestError(
            f"{address!r} is no address of a storage: give a folder, s3://bucket/prefix, gs://… or az://…."
        )
    parts = _ADDRESS.fullmatch(address)
    if parts is None or not _is_prefix(parts["prefix"]) or (parts["account"] and scheme not in _WITH_ACCOUNT):
        raise InvalidRequestError(f"{address!r} names no bucket as it should: s3://bucket/prefix.")
    try:
        url = f"{scheme}://{parts['bucket']}{quote(parts['prefix'] or '')}"  # which the library reads as a URL
        return from_url(url, **options, **(_settings() if scheme in _S3 else {}))
    except (exceptions.BaseError, ValueError) as error:
        wrong = _WRONG.search(str(error))
        told = f": {wrong[0]}" if wrong else ""
        raise InvalidRequestError(f"{address!r} cannot be used with the provider's settings{told}.") from None


def _is_prefix(text: str | None) -> bool:
    """Whether the library would take it as it is; text: with a slash in front."""
    parts = text.split("/")[1:] if text else []
    return all(part not in ("", ".", "..") and part.isprintable() for part in parts)


def _settings() -> dict[str, Any]:
    """What the environment leaves to a profile of AWS's own files, where there is one and no keys are named before."""
    for name in _ENDPOINTS:
        _check_endpoint(os.environ.get(name), name)
    try:
        session = Session()
        if os.environ.get("AWS_ACCESS_KEY_ID") or not session.full_config["profiles"]:
            return {}
        if session.get_credentials() is None:
            raise InvalidRequestError("There are no keys for S3: neither AWS_ACCESS_KEY_ID nor AWS's profile has any.")
        found: dict[str, Any] = {"credential_provider": Boto3CredentialProvider(session)}
        region, endpoint = session.get_config_variable("region"), session.get_scoped_config().get("endpoint_url")
    except (BotoCoreError, ValueError) as error:
        raise InvalidRequestError(f"AWS's profile cannot be used: {error}") from None
    _check_endpoint(endpoint, "endpoint_url of AWS's profile")
    if region and "AWS_REGION" not in os.environ:
        found["region"] = region
    if endpoint and not any(name in os.environ for name in _ENDPOINTS):
        found["endpoint"] = endpoint
    return found


def _check_endpoint(address: str | None, name: str) -> None:
    """The library would panic at another one."""
    if address is None:
        return
    try:
        parts = urlsplit(address)
        is_one = parts.scheme in ("http", "https") and _HOST.fullmatch(parts.hostname or "") and parts.port != 0
    except ValueError:  # no port, or half of an IPv6 address
        is_one = False
    if not is_one or "@" in address:
        raise InvalidRequestError(f"{name} is no address of a server: give http://HOST:PORT or https://HOST.")
