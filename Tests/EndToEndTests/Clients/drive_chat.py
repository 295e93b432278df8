"""The openai client asks a model through the gateway and without it: drive_chat.py GATEWAY SERVER."""

import sys

import openai


def ask(base):
    client = openai.OpenAI(base_url=base + "/v1", api_key="none", max_retries=0, timeout=30)
    messages = [{"role": "user", "content": "one two three"}]
    whole = client.chat.completions.create(model="plain", messages=messages)
    events = list(client.chat.completions.create(model="plain", messages=messages, stream=True))
    pieces = [event.choices[0].delta.content for event in events]
    assert events[-1].choices[0].finish_reason == "stop", events[-1]
    return whole.choices[0].message.content, whole.usage.total_tokens, pieces


through, direct = ask(sys.argv[1]), ask(sys.argv[2])
assert through == direct, (through, direct)
assert len(through[2]) > 4, through
print("ok")
