"""The made checkpoint's text side: a byte-level tokenizer with Llama-3's special tokens, a chat template, a processor.

Each byte of text is a token of its own unless merges are given. The special tokens follow in the real order as the
vocabulary's last 256 ids: from 128000 on, as in the real one, if the vocabulary is as large as the real one.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors

NUM_BYTES = 256
NUM_SPECIAL = 256
# Places in the block of special tokens that Higgs Audio (or Llama-3.1) names; the others are reserved, numbered on.
NAMED_TOKENS = {
    0: "<|begin_of_text|>",
    1: "<|end_of_text|>",
    4: "<|finetune_right_pad_id|>",
    6: "<|start_header_id|>",
    7: "<|end_header_id|>",
    8: "<|eom_id|>",
    9: "<|eot_id|>",
    10: "<|python_tag|>",
    11: "<|audio_bos|>",
    12: "<|audio_eos|>",
    13: "<|audio_out_bos|>",
    15: "<|AUDIO|>",
    16: "<|AUDIO_OUT|>",
    17: "<|recipient|>",
    18: "<|scene_desc_start|>",
    19: "<|scene_desc_end|>",
    20: "<|generation_instruction_start|>",
    21: "<|generation_instruction_end|>",
    22: "<SE>",
    23: "</SE>",
    24: "<SE_s>",
    25: "</SE_s>",
    26: "<SE_e>",
    27: "</SE_e>",
}
# Higgs Audio took its audio tokens (places 11 to 27) from Llama's reserved ones, so the numbering counts those too.
RENAMED_RESERVED = range(11, 28)
BOS_TOKEN, EOS_TOKEN = NAMED_TOKENS[0], NAMED_TOKENS[1]
# Llama-3's rule for cutting text before byte-pair merging, as published with its tokenizer.
LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# Yields the real prompt's token ids: system text with the scene inside it, then the turns; an assistant's turn is
# one audio clip.
CHAT_TEMPLATE = """\
{%- macro text_of(message) -%}
    {%- if message.content is string -%}
        {{- message.content | trim -}}
    {%- else -%}
        {%- for part in message.content if part.type == 'text' -%}{{- part.text | trim -}}{%- endfor -%}
    {%- endif -%}
{%- endmacro -%}
{%- macro header(role) -%}
    {{- '<|start_header_id|>' ~ role ~ '<|end_header_id|>\\n\\n' -}}
{%- endmacro -%}
{%- if not messages or messages[0].role != 'system' -%}
    {{- raise_exception('The first message must be the system message.') -}}
{%- endif -%}
{{- bos_token ~ header('system') ~ text_of(messages[0]) -}}
{%- set turns = messages[1:] -%}
{%- if turns and turns[0].role == 'scene' -%}
    {{- '\\n\\n<|scene_desc_start|>\\n' ~ text_of(turns[0]) ~ '\\n<|scene_desc_end|>' -}}
    {%- set turns = turns[1:] -%}
{%- endif -%}
{{- '<|eot_id|>' -}}
{%- for turn in turns -%}
    {{- header(turn.role) -}}
    {%- if turn.role == 'assistant' -%}
        {%- if turn.content is string or turn.content[0].type != 'audio' -%}
            {{- raise_exception('An assistant message must be an audio clip.') -}}
        {%- endif -%}
        {{- '<|audio_out_bos|><|AUDIO_OUT|><|audio_eos|>' -}}
    {%- else -%}
        {{- text_of(turn) -}}
    {%- endif -%}
    {{- '<|eot_id|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- header('assistant') ~ '<|audio_out_bos|>' -}}
{%- endif -%}
"""


def special_tokens() -> list[str]:
    """The 256 special tokens in the order of their ids, the first being 256 (128000 in the real vocabulary)."""
    tokens, reserved = [], 0
    for place in range(NUM_SPECIAL):
        tokens.append(NAMED_TOKENS.get(place, f"<|reserved_special_token_{reserved}|>"))
        reserved += place not in NAMED_TOKENS or place in RENAMED_RESERVED
    return tokens


def token_id(token: str, vocab_size: int) -> int:
    """The id of a special token: the block of special tokens is the vocabulary's last."""
    return vocab_size - NUM_SPECIAL + special_tokens().index(token)


def byte_characters() -> list[str]:
    """One printable character per byte value, by the byte-level BPE convention of GPT-2."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(NUM_BYTES) if byte not in printable]
    return [chr(byte if byte in printable else NUM_BYTES + hidden.index(byte)) for byte in range(NUM_BYTES)]


def build_tokenizer(
    vocab_size: int,
    merges: Sequence[tuple[str, str]] = (),
    pieces: Sequence[str] = (),
    passages: Sequence[str] = (),
) -> Tokenizer:
    """Byte-level BPE with `merges`, the earlier ones first, cut and wrapped as Llama-3's; `pieces` are one token each
    where the cut leaves them alone, whatever the merges, and `passages` wherever they stand."""
    characters = byte_characters()
    entries = characters + [left + right for left, right in merges]
    entries += ["".join(characters[byte] for byte in piece.encode()) for piece in pieces]
    entries += passages
    # Entries that stand for nothing only put the special tokens in place.
    entries += [f"unused_{index}" for index in range(len(entries), vocab_size - NUM_SPECIAL)]
    vocabulary = {entry: index for index, entry in enumerate(entries)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=list(merges), ignore_merges=bool(pieces)))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special_tokens()])
    tokenizer.add_tokens([AddedToken(passage, normalized=False) for passage in passages])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS_TOKEN} $A",
        pair=f"{BOS_TOKEN} $A {BOS_TOKEN} $B",
        special_tokens=[(BOS_TOKEN, token_id(BOS_TOKEN, vocab_size))],
    )
    return tokenizer


def write_text_side(directory: Path, codec_path: str, tokenizer: Tokenizer, max_length: int) -> None:
    """Writes the tokenizer, chat template and processor files into `directory`.

    transformers opens `codec_path` relative to the working directory, never to the processor's own folder: it is either
    absolute, or relative to the folder from which the checkpoint is meant to be opened.
    """
    tokenizer.save(str(directory / "tokenizer.json"))
    (directory / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    names = {"bos_token": BOS_TOKEN, "eos_token": EOS_TOKEN, "pad_token": EOS_TOKEN}
    tokenizer_config = {
        **names,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": max_length,
        "processor_class": "HiggsAudioV2Processor",
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    processor_config = {
        "audio_bos_token": "<|audio_out_bos|>",
        "audio_delay_token": "<|reserved_special_token_6|>",
        "audio_eos_token": "<|audio_eos|>",
        "audio_stream_bos_id": 1024,
        "audio_stream_eos_id": 1025,
        "audio_token": "<|AUDIO_OUT|>",
        "audio_tokenizer": {
            "audio_tokenizer_class": "HiggsAudioV2TokenizerModel",
            "audio_tokenizer_name_or_path": codec_path,
        },
        "processor_class": "HiggsAudioV2Processor",
    }
    write_json(directory / "tokenizer_config.json", tokenizer_config)
    write_json(directory / "special_tokens_map.json", names)
    write_json(directory / "processor_config.json", processor_config)
    # The language model's extractor pads to nothing (hop 1): the codec is what cuts audio into frames.
    write_feature_extractor(directory, hop_length=1)


def write_boson_text_side(directory: Path, tokenizer: Tokenizer) -> None:
    """Writes what Boson published beside the weights: a tokenizer, without template, processor or name of a codec."""
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    first = tokenizer.get_vocab_size() - NUM_SPECIAL
    added = {str(first + i): {"content": token, **flags, "special": True} for i, token in enumerate(special_tokens())}
    tokenizer_config = {
        "added_tokens_decoder": added,
        "bos_token": BOS_TOKEN,
        "clean_up_tokenization_spaces": True,
        "eos_token": EOS_TOKEN,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": 131072,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "trust_remote": True,
    }
    tokenizer.save(str(directory / "tokenizer.json"))
    write_json(directory / "tokenizer_config.json", tokenizer_config)
    names = {"bos_token": {"content": BOS_TOKEN, **flags}, "eos_token": {"content": EOS_TOKEN, **flags}}
    write_json(directory / "special_tokens_map.json", names)


def write_feature_extractor(directory: Path, hop_length: int) -> None:
    """Writes preprocessor_config.json for 24 kHz mono audio padded to a multiple of `hop_length` samples."""
    extractor = {
        "feature_extractor_type": "DacFeatureExtractor",
        "feature_size": 1,
        "hop_length": hop_length,
        "padding_side": "right",
        "padding_value": 0.0,
        "processor_class": "HiggsAudioV2Processor",
        "return_attention_mask": True,
        "sampling_rate": 24000,
    }
    write_json(directory / "preprocessor_config.json", extractor)


def write_json(file: Path, content: object) -> None:
    """Writes `content` the way transformers does: indented, keys sorted, a line break at the end."""
    file.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
