"""The sizes of generated checkpoints: from unit-test size to the real model's shapes."""

from dataclasses import dataclass

NUM_CODEBOOKS = 8
CODES = 1024
STREAM_BOS, STREAM_EOS = 1024, 1025
CODEBOOK_SIZE = 1026  # the codes, stream BOS and stream EOS


@dataclass(frozen=True)
class CodecSize:
    """Widths of the codec's nets; its topology (strides, kernels, dilations) is always the real one."""

    encoder_width: int
    decoder_width: int
    latent_size: int
    hubert_hidden: int
    hubert_ffn: int
    hubert_layers: int
    hubert_conv_width: int
    hubert_pos_groups: int


@dataclass(frozen=True)
class ModelSize:
    """Shapes of a checkpoint; what is not here is the same for all sizes."""

    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    codec: CodecSize


BYTE_VOCABULARY = 512  # 256 bytes and 256 special tokens
LETTER_VOCABULARY = 528  # and 16 whole pieces, some unused
SMALL_CODEC = CodecSize(8, 64, 32, 64, 128, 2, 32, 4)
# What the trained demo checkpoint has: narrow but for the decoder, which is what makes speech intelligible.
TRAINED_CODEC = CodecSize(8, 384, 96, 64, 128, 1, 32, 16)
BENCH_CODEC = CodecSize(8, 256, 64, 64, 128, 2, 32, 4)
TRUE_CODEC = CodecSize(64, 1024, 256, 768, 3072, 12, 512, 16)
SIZES = {
    "tiny": ModelSize(64, 128, 2, 4, 2, 16, BYTE_VOCABULARY, SMALL_CODEC),
    "demo": ModelSize(256, 512, 4, 4, 2, 64, BYTE_VOCABULARY, SMALL_CODEC),
    # What demo/training trains: with its codec under 40 MB in 16 bits.
    "trained": ModelSize(256, 704, 8, 8, 2, 32, LETTER_VOCABULARY, TRAINED_CODEC),
    "bench": ModelSize(768, 1344, 12, 12, 4, 64, BYTE_VOCABULARY, BENCH_CODEC),
    "large": ModelSize(1536, 4096, 10, 12, 4, 128, BYTE_VOCABULARY, BENCH_CODEC),  # 466 M parameters
    # The real vocabulary's size and special ids, but the byte tokenizer: the other text ids are never used.
    "true": ModelSize(3072, 8192, 28, 24, 8, 128, 128256, TRUE_CODEC),
}
