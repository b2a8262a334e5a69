"""`hf/<folder or hub id>`: a causal language model of transformers in this process, on CPU or GPU, with recorded rows.
(The tests run on a CPU; it is untested on a GPU.)

Requests that arrive together are generated together, in one worker thread, so the event loop stays free. Every
completion carries its `Row` (prompt ids, completion ids, log-probabilities), and token counts are exact. Settings are
under `backend:` of the model in a card: `revision`, `local_files_only`, `device` (default: cuda if available), `dtype`
(auto: as saved), `batch_size`, `batch_tokens` (prompt and reply, including padding), `max_model_len`. The role's
`context` is the default of max_model_len.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from memeval.errors import BadParameter, UsageError
from memeval.models.call_json import call_key
from memeval.models.completion import Completion, Message, ModelSpec, Request, Row, text_of
from memeval.models.local import sampling
from memeval.models.local.hf_loading import Loaded, LocalModel, Settings, load
from memeval.models.local.sampling import Sampling
from memeval.models.local.weights import Weights
from memeval.models.local.worker import Worker
from memeval.models.reply import one_line, read_reply
from memeval.models.thinking import Thinking

if TYPE_CHECKING:
    from memeval.models.local import generation

_TOOLLESS = "use a model that was made for tools, or an agent that describes them in its prompt (memalpha: --set wire=qwen)"
_OPEN = "<think>"


class HfModel(Thinking):
    """A model in role `memory`, `reader` or `judge`. Its constructor raises UsageError like that of `LocalModel`."""

    def __init__(self, name: str, spec: ModelSpec) -> None:
        super().__init__(f"hf/{name}")
        self._local = LocalModel("hf", name, spec, Checkpoint)
        self._defaults = self._local.weights.read("generation_config.json")
        self.identity = self._local.identity
        self.close = self._local.close

    async def complete(self, request: Request) -> Completion:
        """One generation, with the larger limit once the model has been seen to think. `finish_reason` is `overflow` if
        the prompt leaves no room in the window; a reply that fills the window ends with `length`. Raises BadParameter
        for parameters that this model does not have, UsageError if it cannot be loaded."""
        if any(pictured(message) for message in request.messages):
            raise BadParameter("messages", f"model '{self.name}': it reads text alone, no images, sounds or files")
        return await super().complete(request)

    async def _chat(self, request: Request, params: Mapping[str, Any]) -> Completion:
        seed = int.from_bytes(call_key(self.identity, request)[:8], "big")
        asked = sampling.read(params, self._defaults, seed, self._local.name)
        return await self._local.opened().worker.do((request, asked))


@dataclass(frozen=True, slots=True)
class _Prompt:
    """A request in the model's form. thinking: the chat template has already opened a `<think>` block."""

    request: Request
    ids: list[int]
    sampling: Sampling
    limit: int
    thinking: bool


class Checkpoint:
    """Loaded weights and the thread that runs them. found: the files; None for a model that is loaded already."""

    def __init__(self, name: str, found: Weights | None, chosen: Settings) -> None:
        self.name = name
        self.usable = True
        self.worker: Worker[tuple[Request, Sampling], Completion] = Worker("memeval-hf", self.answer, chosen.batch_size)
        self._weights = found
        self._chosen = chosen
        self._loaded: Loaded | None = None

    def close(self) -> None:
        self.usable = False
        self.worker.close()
        if self._loaded is not None:
            on_gpu = self._loaded.model.device.type == "cuda"
            self._loaded = None
            if on_gpu:
                import torch

                torch.cuda.empty_cache()

    @classmethod
    def of(cls, name: str, model: Any, tokenizer: Any, window: int, batch_tokens: int = 10**9) -> Checkpoint:
        """A model that is loaded already, such as one that is being trained."""
        made = cls(name, None, Settings(batch_tokens=batch_tokens))
        made._loaded = Loaded(model, tokenizer, window)
        return made

    def answer(self, asked: list[tuple[Request, Sampling]]) -> list[Completion]:
        """Completions of requests that arrived together. Runs in the worker thread."""
        if self._loaded is None:
            assert self._weights is not None
            self._loaded = load(self.name, self._weights, self._chosen)
        loaded = self._loaded
        read = [self._read(loaded, request, wanted) for request, wanted in asked]
        prompts = [prompt for prompt in read if isinstance(prompt, _Prompt)]
        replies: dict[int, Completion] = {}
        for group in grouped(prompts, self._chosen.batch_tokens):
            replies.update(zip(map(id, group), self._generate(loaded, group), strict=True))
        return [replies[id(prompt)] if isinstance(prompt, _Prompt) else prompt for prompt in read]

    def _read(self, loaded: Loaded, request: Request, wanted: Sampling) -> _Prompt | Completion:
        from jinja2 import TemplateError, TemplateSyntaxError

        if not loaded.tokenizer.chat_template:
            raise UsageError(f"model 'hf/{self.name}': its tokenizer has no chat template; use an instruct model")
        try:
            text = loaded.tokenizer.apply_chat_template(
                [_message(message) for message in request.messages],
                tools=[dict(tool) for tool in request.tools] if request.tools else None,
                add_generation_prompt=True,
                tokenize=False,
                **wanted.chat_template_kwargs,
            )
        except TemplateSyntaxError as error:
            raise UsageError(f"model 'hf/{self.name}': its chat template is damaged ({one_line(str(error))})") from None
        except (TemplateError, TypeError, ValueError) as error:
            said = one_line(f"the chat template refuses the messages: {error}")
            return Completion(error=said, finish_reason="error")
        names = [str(tool.get("function", {}).get("name")) for tool in request.tools or ()]
        if names and not any(name in text for name in names):
            raise UsageError(f"model 'hf/{self.name}': its chat template shows the model no tools; {_TOOLLESS}")
        text = text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates, which no tokenizer accepts
        ids = loaded.tokenizer(text, add_special_tokens=False)["input_ids"]
        room = loaded.window - len(ids)
        if room < 1 or not ids:
            return Completion(finish_reason="overflow" if ids else "error", error=None if ids else "the prompt is empty")
        return _Prompt(request, ids, wanted, wanted.limit(room), text.rstrip().endswith(_OPEN))

    def _generate(self, loaded: Loaded, prompts: Sequence[_Prompt]) -> list[Completion]:
        """Generate a batch; if the GPU's memory is too small for it, generate its halves."""
        import torch

        from memeval.models.local.generation import Row as Sequenced
        from memeval.models.local.generation import generate

        rows = [Sequenced(prompt.ids, prompt.sampling, prompt.limit) for prompt in prompts]
        try:
            generate(loaded.model, rows, loaded.ends, loaded.decode, self.worker.unwanted)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
        except (RuntimeError, IndexError, ValueError) as error:
            said = one_line(f"{type(error).__name__}: {error}")
            return [Completion(error=said, finish_reason="error")] * len(rows)
        else:
            return [_completion(loaded, prompt, row) for prompt, row in zip(prompts, rows, strict=True)]
        if len(prompts) > 1:
            half = len(prompts) // 2
            return [*self._generate(loaded, prompts[:half]), *self._generate(loaded, prompts[half:])]
        said = f"out of GPU memory with a prompt of {len(prompts[0].ids)} tokens and {prompts[0].limit} to write"
        return [Completion(error=said, finish_reason="error")]


def grouped(prompts: Sequence[_Prompt], most: int) -> Iterator[list[_Prompt]]:
    """Group prompts of equal warpers and similar length, with at most `most` tokens per group, including padding and
    replies, and at least one prompt."""
    group: list[_Prompt] = []
    for prompt in sorted(prompts, key=lambda each: (each.sampling.warpers, len(each.ids) + each.limit)):
        full = (len(group) + 1) * (len(prompt.ids) + prompt.limit) > most
        if group and (full or group[0].sampling.warpers != prompt.sampling.warpers):
            yield group
            group = []
        group.append(prompt)
    if group:
        yield group


def pictured(message: Message) -> bool:
    """Whether a message has parts other than text."""
    content = message.get("content")
    parts = content if isinstance(content, (list, tuple)) else ()
    return any(not isinstance(part.get("text", part.get("refusal")), str) for part in parts if isinstance(part, Mapping))


def _message(message: Message) -> dict[str, Any]:
    """A message in the form of chat templates: text instead of parts, objects as arguments of tool calls."""
    shaped = {**message, "content": text_of(message)}
    calls = []
    for call in message.get("tool_calls") or ():
        function = dict(call["function"])
        if isinstance(function.get("arguments"), str):
            try:
                function["arguments"] = json.loads(function["arguments"])
            except ValueError:
                function["arguments"] = {"text": function["arguments"]}  # invalid JSON that the model wrote
        calls.append({**call, "function": function})
    return {**shaped, "tool_calls": calls} if calls else shaped


def _completion(loaded: Loaded, prompt: _Prompt, row: generation.Row) -> Completion:
    text = loaded.decode(row.ids[:-1] if row.ids and row.ids[-1] in loaded.ends else row.ids)
    cuts = [place for stop in prompt.sampling.stop if (place := text.find(stop)) >= 0]
    text = text[: min(cuts)] if cuts else text
    written = f"{_OPEN}{text}" if prompt.thinking else text
    usage = {"prompt_tokens": len(prompt.ids), "completion_tokens": len(row.ids)}
    choice = {"message": {"content": written}, "finish_reason": row.reason or "length"}
    completion = read_reply({"choices": [choice], "usage": usage}, prompt.request)
    return replace(completion, row=Row(tuple(prompt.ids), tuple(row.ids), tuple(row.logprobs)))
