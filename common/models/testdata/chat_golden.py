#!/usr/bin/env python3
"""Writes chat_golden.json: prompts as transformers renders them.

    python3 chat_golden.py >chat_golden.json          # needs transformers 5

The templates are written for this test, after those of well-known model
families: each uses what theirs need of Jinja and of transformers' helpers.
tokenizer_test.cc compares the text of `RenderChat` for each case.
"""
import json

import transformers
from transformers.utils import chat_template_utils

TEMPLATES = {
    # ChatML.
    "chatml": (
        "{% for message in messages %}"
        "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
        "{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"),
    # LLaMA 2: alternation, system message inside the first turn, raise_exception.
    "inst": (
        "{% if messages[0]['role'] == 'system' %}"
        "{% set loop_messages = messages[1:] %}"
        "{% set system_message = messages[0]['content'] %}"
        "{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}"
        "{% for message in loop_messages %}"
        "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must alternate user/assistant') }}{% endif %}"
        "{% if loop.index0 == 0 and system_message != false %}"
        "{% set content = '<<SYS>>\n' + system_message + '\n<</SYS>>\n\n' + message['content'] %}"
        "{% else %}{% set content = message['content'] %}{% endif %}"
        "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
        "{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}"
        "{% endif %}{% endfor %}"),
    # LLaMA 3: the date, blocks with whitespace control, trim, namespace, tools.
    "dated": """{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(system="") %}
{%- for message in messages %}
    {%- if message.role == "system" %}
        {%- set ns.system = message.content|trim %}
    {%- endif %}
{%- endfor %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- ns.system }}
{%- if tools is not none and tools is defined %}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n" }}
        {{- t | tojson }}
    {%- endfor %}
{%- endif %}
{{- "<|eot_id|>" }}
{%- for message in messages if message.role != "system" %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
""",
    # Reasoning models: Python's string methods, slices, generation tags, loop
    # controls, filters with tests.
    "thinking": """{%- set users = messages | selectattr('role', 'equalto', 'user') | list %}
{{- users | length }} of {{ messages | length }} {{ messages[-1].role.upper() }}
{% for message in messages %}
    {%- if message.role == 'tool' %}{% continue %}{% endif %}
    {%- set content = message.content %}
    {%- if message.role == 'assistant' and '</think>' in content %}
        {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
    {%- endif %}
    {%- if message.role == 'assistant' %}
<|assistant|>{% generation %}{{ content.rstrip() }}{{ eos_token }}{% endgeneration %}

    {%- elif message.content.startswith('/') %}
        {{- '<|command|>' + message.content[1:] | title }}
    {%- else %}
        {{- '<|' ~ message.role ~ '|>' ~ content.replace('a', 'A') }}
    {%- endif %}
    {%- if loop.last %}{{ loop.index }}{% endif %}
{% endfor %}
{{ add_generation_prompt }} {{ none }} {{ missing }}{{ messages[0].get('name', 'nobody') }}
{%- macro ending(word) %}[{{ word }}]{% endmacro %}
{{- ending('end') if add_generation_prompt is true else ending("open") }}
""",
}

MESSAGES = [
    [{"role": "user", "content": "Hello there"}],
    [{"role": "system", "content": " Be brief. "},
     {"role": "user", "content": " What is \u00fcber \"quoted\" & <b>?\n"},
     {"role": "assistant", "content": "<think>\nlong\n</think>\n\nA word. "},
     {"role": "user", "content": "/thanks \u65e5\u672c"}],
    [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
]
TOOLS = [{"type": "function", "function": {
    "name": "get_weather", "description": "It's <the> weather & \u00fcber",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}},
                   "required": ["city"], "n": [1, 2.5, True, None, {}, []]}}}]


class FixedClock(chat_template_utils.datetime):
    @classmethod
    def now(cls):
        return cls(2024, 2, 9, 13, 5, 7)


def main():
    chat_template_utils.datetime = FixedClock
    cases = []
    for name, template in TEMPLATES.items():
        for messages in MESSAGES:
            for prompt in (True, False):
                for tools in ([None, TOOLS] if name == "dated" else [None]):
                    case = {"template": name, "messages": messages,
                            "add_generation_prompt": prompt}
                    if tools:
                        case["tools"] = tools
                    try:
                        text, _ = chat_template_utils.render_jinja_template(
                            [messages], tools=tools, chat_template=template,
                            add_generation_prompt=prompt,
                            bos_token="<s>", eos_token="</s>")
                        case["text"] = text[0]
                    except Exception as error:  # the template's own refusal
                        case["error"] = str(error)
                    cases.append(case)
    print(json.dumps({"made_with": f"transformers {transformers.__version__}",
                      "now": 1707483907, "templates": TEMPLATES, "cases": cases},
                     indent=1))


main()
