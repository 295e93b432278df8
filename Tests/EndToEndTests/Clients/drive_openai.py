"""Drives the model `tiny` of serve_openai.py behind the gateway with the openai client: drive_openai.py URL KEY."""

import sys

import openai

url, key = sys.argv[1], sys.argv[2]
# Not a retry: each error has to be the first answer.
client = openai.OpenAI(base_url=url + "/v1", api_key=key, max_retries=0, timeout=30)
hello = [{"role": "user", "content": "hello there, usage"}]


def refused(kind, call):
    try:
        call()
    except openai.APIStatusError as error:
        assert type(error) is kind, error
        return error
    raise AssertionError(f"{kind} was expected")


answer = client.chat.completions.create(model="tiny", messages=hello)
assert answer.choices[0].message.content == "HELLO THERE, USAGE", answer
assert answer.usage.total_tokens == 15, answer
assert answer.model == "tiny-upstream", answer

# The backend goes on after the first event only when it is told to, by a client that has that event.
words = []
stream = client.chat.completions.create(
    model="tiny", messages=hello, stream=True, stream_options={"include_usage": True})
usage = None
for event in stream:
    if event.choices:
        words.append(event.choices[0].delta.content)
        if len(words) < 3:
            client.post("/signal", cast_to=object)
    usage = event.usage or usage
assert words == ["hello", "there,", "usage"], words
assert usage.completion_tokens == 4, usage

text = client.completions.create(model="tiny", prompt="abc")
assert text.choices[0].text == "cba", text

rows = client.embeddings.create(model="tiny", input=["a", "bcd"], encoding_format="float")
assert [row.embedding for row in rows.data] == [[1.0, 0.5], [3.0, 0.5]], rows

response = client.responses.create(model="tiny", input="quiet")
assert response.output_text == "QUIET", response
events = list(client.responses.create(model="tiny", input="quiet", stream=True))
assert [event.type for event in events] == ["response.created", "response.completed"], events
assert events[-1].response.usage.output_tokens == 30, events

models = client.models.list()
assert [model.id for model in models] == ["tiny", "org/tiny"], models
assert client.models.retrieve("tiny").owned_by == "sluice"
assert client.models.retrieve("org/tiny").id == "org/tiny"

# A path that the gateway does not know.
assert client.files.list().data == []

error = refused(openai.NotFoundError, lambda: client.chat.completions.create(model="none", messages=hello))
assert (error.code, error.type, error.param) == ("model_not_found", "invalid_request_error", "model"), error
assert "none" in error.message, error
error = refused(openai.BadRequestError, lambda: client.chat.completions.create(model="", messages=hello))
assert (error.code, error.type, error.param) == (None, "invalid_request_error", "model"), error
error = refused(openai.BadRequestError, lambda: client.post("/embeddings", cast_to=object, body={"input": "x"}))
assert "lacks the field 'model'" in error.message, error
# The model is a classifier, served by another protocol.
error = refused(openai.InternalServerError, lambda: client.chat.completions.create(model="iris", messages=hello))
assert (error.status_code, error.type) == (501, "server_error"), error
# A backend's own error.
error = refused(
    openai.RateLimitError,
    lambda: client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "too many"}]))
assert error.type == "rate_limit_error" and "slow down" in error.message, error

stranger = openai.OpenAI(base_url=url + "/v1", api_key="wrong", max_retries=0, timeout=30)
error = refused(openai.AuthenticationError, lambda: stranger.models.list())
assert (error.code, error.type) == ("invalid_api_key", "authentication_error"), error
print("openai: fine")
