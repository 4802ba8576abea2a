"""Small chat templates of our own, each with the ways of a family that rendering has to be right about."""

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast


def byte_tokenizer(template: str) -> PreTrainedTokenizerFast:
    """A tokenizer of bytes, whose tokens decode to exactly what was written; two newlines are one token."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    newline = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str("\n")[0][0]
    vocabulary = {letter: place for place, letter in enumerate([*letters, newline * 2])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [(newline, newline)]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<|end|>",
        additional_special_tokens=["<|start|>"],
    )
    fast.add_tokens(["<|think|>", "<|/think|>"])  # as Qwen3's: added tokens, but no special ones
    fast.chat_template = template
    return fast


MESSAGES = "<|start|>{{ m.role }}\n{{ m.content }}<|end|>\n"
OPENING = "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"

PLAIN = "{% for m in messages %}" + MESSAGES + "{% endfor %}" + OPENING

# As Qwen2.5 does: a system turn of its own where none is given.
DEFAULT_SYSTEM = (
    "{% if messages[0].role != 'system' %}<|start|>system\nyou drink water .<|end|>\n{% endif %}" + PLAIN
)

# As Gemma does: no system turn, user and assistant in turn, and another name for the assistant.
NO_SYSTEM = """<pad>{% if messages[0].role == 'system' %}{{ raise_exception('no system turn') }}{% endif %}
{%- for m in messages %}
    {%- if (m.role == 'user') != (loop.index0 is even) %}{{ raise_exception('not in turn') }}{% endif %}
    {%- set role = 'two' if m.role == 'assistant' else m.role %}
    {{- '<|start|>' + role + '\n' + m.content | trim + '<|end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|start|>two\n' }}{% endif %}"""

# As some older families do: a system turn vanishes without a word.
SILENT_SYSTEM = "{% for m in messages if m.role != 'system' %}" + MESSAGES + "{% endfor %}" + OPENING

# As Qwen3 does: an empty think block before the last answer, and in the prompt if thinking is off.
THINKING = """{%- for m in messages %}
    {%- if m.role == 'assistant' %}
        {%- set thought, said = '', m.content %}
        {%- if '<|/think|>' in said %}
            {%- set thought = said.split('<|/think|>')[0].split('<|think|>')[-1].strip() %}
            {%- set said = said.split('<|/think|>')[-1].strip() %}
        {%- endif %}
        {{- '<|start|>assistant\n' }}
        {%- if loop.last %}{{ '<|think|>\n' + thought + '\n<|/think|>\n\n' }}{% endif %}
        {{- said + '<|end|>\n' }}
    {%- else %}
        {{- '<|start|>' + m.role + '\n' + m.content + '<|end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<|think|>\n\n<|/think|>\n\n' }}
    {%- endif %}
{%- endif %}"""

# As Llama 3 does: a system turn that always stands there, with today's date unless one is given.
DATED = """{%- if date_string is not defined %}
    {%- if strftime_now is defined %}{% set date_string = strftime_now('%d %b %Y') %}
    {%- else %}{% set date_string = '1 Jan 2000' %}{% endif %}
{%- endif %}
{%- set first = 0 %}
{{- '<|start|>system\ndate ' + date_string + '\n' }}
{%- if messages[0].role == 'system' %}{{ messages[0].content }}{% set first = 1 %}{% endif %}
{{- '<|end|>' }}
{%- for m in messages[first:] %}{{ '<|start|>' + m.role + '\n' + m.content | trim + '<|end|>' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|start|>assistant\n' }}{% endif %}"""

# As other families do: the clock is asked for in its own format, from inside a macro and a marked block.
CLOCKED = """{% macro head() %}<|start|>system
date {{ strftime_now("%Y-%m-%d") }} {{ strftime_now('%B') }}<|end|>
{% endmacro %}
{{- head() }}
{%- for m in messages %}
    {%- if m.role == 'assistant' %}{% generation %}
        {{- '<|start|>assistant\n' + m.content + '<|end|>\n' }}
    {%- endgeneration %}
    {%- else %}{{ '<|start|>' + m.role + '\n' + m.content + '<|end|>\n' }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|start|>assistant\n' }}{% endif %}"""

FAMILIES = {
    "plain": PLAIN,
    "a default system turn": DEFAULT_SYSTEM,
    "no system turn": NO_SYSTEM,
    "a system turn that vanishes": SILENT_SYSTEM,
    "think blocks": THINKING,
    "a date": DATED,
    "a clock": CLOCKED,
}
WITHOUT_SYSTEM = ("no system turn", "a system turn that vanishes")
