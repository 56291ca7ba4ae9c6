"""Makes a tiny Llama on the spot: random weights, a tokenizer trained on this project's own text.

Its words mean nothing; the protocol of the server that runs it is the real one. Runs in vLLM's
environment: ``python tests/vllm/tiny_model.py OUTPUT_FOLDER TEXT_FOLDER``.
"""

import json
import sys
from pathlib import Path

import torch  # type: ignore[import-not-found]  # only in the environment of vLLM
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (  # type: ignore[import-not-found]  # as above
    LlamaConfig,
    LlamaForCausalLM,
)

CONTEXT = 4096
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]


def main() -> None:
    """Write the model, its tokenizer and its chat template into the output folder."""
    output, texts = Path(sys.argv[1]), Path(sys.argv[2])
    output.mkdir(parents=True, exist_ok=True)
    files = sorted(str(path) for path in texts.glob("*/*.py"))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2048,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train(files, trainer)
    tokenizer.save(str(output / "tokenizer.json"))
    (output / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "eos_token": SPECIAL[0],
                "model_max_length": CONTEXT,
                "chat_template": TEMPLATE,
            }
        )
    )
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=32,
        max_position_embeddings=CONTEXT,
        eos_token_id=0,
        bos_token_id=None,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    # It never says that it is at its end, by never being the likeliest: how long answers are would
    # else depend on the text of this project, and short ones cannot be left in time.
    with torch.no_grad():
        model.lm_head.weight[0].zero_()
    model.to(torch.bfloat16).save_pretrained(output)


if __name__ == "__main__":
    main()
