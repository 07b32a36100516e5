"""Made checkpoints for the conversion tests, each written once a session."""

import json
import shutil

import pytest

from convert.codec import load_codec
from convert.codec_export import DecoderError, EncoderError
from demo.make_checkpoint import CODEC_FOLDER, make_checkpoint


@pytest.fixture(scope="session")
def transformers_checkpoint(tmp_path_factory):
    directory = tmp_path_factory.mktemp("transformers")
    make_checkpoint(directory, size="tiny")
    return directory


@pytest.fixture(scope="session")
def boson_checkpoint(tmp_path_factory):
    directory = tmp_path_factory.mktemp("boson")
    make_checkpoint(directory, size="tiny", layout="boson")
    return directory


@pytest.fixture(scope="session")
def sharded_checkpoint(tmp_path_factory):
    directory = tmp_path_factory.mktemp("sharded")
    make_checkpoint(directory, size="tiny", shard_bytes=1_000_000)
    return directory


@pytest.fixture(scope="session")
def codec(checkpoint):
    return load_codec(checkpoint / CODEC_FOLDER)


@pytest.fixture(scope="session")
def exported(bundle):
    """The exports of that codec, and what the converter recorded of them: exporting takes most of a minute."""
    return bundle / "exports" / "codec", json.loads((bundle / "exports" / "export.json").read_text())["codec"]


@pytest.fixture(scope="session")
def decoder(exported):
    folder, record = exported
    return folder / "decoder.onnx", DecoderError(**record["decoder_error"])


@pytest.fixture(scope="session")
def encoder(exported):
    folder, record = exported
    return folder / "encoder.onnx", EncoderError(**record["encoder_error"])


@pytest.fixture
def damaged(transformers_checkpoint, tmp_path):
    """A copy of a checkpoint that a test may damage."""
    return shutil.copytree(transformers_checkpoint, tmp_path / "damaged")
