"""Trees with the paths, names and forms of the repositories that agents' texts are fetched from, and texts of our own."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from memeval import authors
from memeval.authors import Upstream

MEMORY = '''
import must_never_be_imported

class Memory:
    """No text."""

    def _block(self, title="", lines=(), content=None):
        if content is not None:
            return f"<{title}>\\n{content}\\n</{title}>"
        if not lines:
            if title:
                return f"<{title}>\\nVoid.\\n</{title}>"
            return f"Void."
        formatted_lines = []
        for mem_id, content in lines:
            formatted_lines.append(f"[{mem_id}] {content}")
        body = "\\n".join(formatted_lines)
        return f"<{title}>\\n{body}\\n</{title}>"

    def render_system_prompt(self, status):
        core_memory_section = ""
        core_memory_section = f"<core_memory>\\n{self.core}\\n</core_memory>"
        memory_type_instructions = []
        memory_type_instructions.append("* core_memory: CORE {braces}")
        memory_type_instructions.append("* semantic_memory: SEMANTIC")
        memory_type_instructions.append("* episodic_memory: EPISODIC")
        memory_state_sections = [core_memory_section]
        memory_state_sections.append(
            f"<semantic_memory> (last {visible_semantic} of {total_semantic})\\n"
            f"{self._block(lines=semantic_items)}\\n"
            f"</semantic_memory>"
        )
        memory_state_sections.append(
            f"<episodic_memory> (last {visible_episodic} of {total_episodic})\\n"
            f"{self._block(lines=episodic_items)}\\n"
            f"</episodic_memory>"
        )
        system_prompt = (f"""WRITE.
{instructions_text}
STATE:
{memory_state_text}

END \'Done\'.""")
        system_prompt = "another"

    def memory_update(self):
        truncation_msg = " [cut]"
'''
FUNCTIONS = """
class NewMemoryInsert(ToolFunction):
    name = "new_memory_insert"
    description = "INSERT."
    parameters = [
        Parameter(name="memory_type", description="I TYPE", enum=["semantic_memory"]),
        Parameter(name="content", description="I TEXT"),
    ]

class MemoryUpdate(ToolFunction):
    name = "memory_update"
    description = "UPDATE."
    parameters = [
        Parameter(name="memory_type", description="U TYPE"),
        Parameter(name="new_content", description="U **TEXT**"),
        Parameter(name="memory_id", description="U ID", required=False),
    ]

class MemoryDelete(ToolFunction):
    name = "memory_delete"
    description = "DELETE."
    parameters = [Parameter(name="memory_type", description="D TYPE"), Parameter(name="memory_id", description="D ID")]
"""
SERVER = '''
class MemoryProcessor:
    def _format_memory_block(self, memory_list, block_name):
        if not memory_list:
            return f"<{block_name}>\\n(void)\\n</{block_name}>"
        formatted_memories = []
        for i, content in enumerate(memory_list, 1):
            formatted_memories.append(f"{i}. {content}")
        return f"<{block_name}>\\n" + "\\n".join(formatted_memories) + f"\\n</{block_name}>"

    def _format_core_memory_block(self, core_memory):
        if not core_memory:
            return f"<core_memory>\\n(void core)\\n</core_memory>"
        return f"<core_memory>\\n{core_memory}\\n</core_memory>"

    def construct_system_prompt(self, memory_data):
        memory_structure_items = []
        memory_structure_items.append("- Core: BASIC")
        memory_structure_items.extend(["- Semantic: GENERAL", "- Episodic: SPECIFIC"])
        system_prompt = f"""ANSWER.

{memory_structure}

{memory_content}

RULES"""
        return system_prompt
'''
PROMPTS = """
unified_prompt: "REMEMBER {{x}}:\\n<new_chunk>\\n{context}\\n</new_chunk>\\nAT MOST {max_new_tokens} TOKENS."
squad:
  query_prompt: null
  including_core: true
booksum:
  query_prompt: "ABOUT A BOOK {y}."
"""
RECURRENT = '''
import must_never_be_imported

TEMPLATE = """READ {{x}}.

<problem>{space}
{prompt}
</problem>
M {memory} S <section>{chunk}</section>
NEW:
"""
TEMPLATE_FINAL = "ANSWER \\\\boxed{{}} P {prompt} M {memory}"
'''.replace("{space}", " ")
EVALUATOR = '''
class LongContextEvaluator:
    def __init__(self, model):
        if model == "memagent":
            self.memagent_template = """R <problem>
{prompt}
</problem> {memory} {chunk}"""
            self.memagent_template_final = """A {prompt} {memory}"""
'''
PIPELINE = '''
class Pipeline:
    def __init__(self):
        self.prompt = "no"

class Mem1Pipeline(Pipeline):
    def __init__(self):
        self.prompt = """TASK:\\n{task}\\nSTATE IN <think> ... </think>."""

    def run_llm_loop(self, prompt, chunks):
        """No text."""
        for chunk in chunks:
            self.llm.make_completion(self.prompt.format(task=prompt) + "\\n\\nNEXT:\\n" + chunk, state, model="no")
'''
TREES = {
    "memalpha-paper": {
        "memory.py": MEMORY,
        "functions.py": FUNCTIONS,
        "memory_server.py": SERVER,
        "config/prompts_wrt_datasource.yaml": PROMPTS,
    },
    "memagent-stated": {"taskutils/memory_eval/utils/recurrent.py": RECURRENT},
    "memagent-boxed": {"long_context_eval.py": EVALUATOR},
    "mem1-paper": {"MEM1/Mem1/inference/data_pipelines.py": PIPELINE},
}
"""Set of prompts -> path -> file, of its authors' repository"""


def pins(name: str = "memalpha-paper") -> Upstream:
    """What is pinned for a set, with the hashes of the made files."""
    real = authors.upstream_of(name)
    assert real is not None
    made = TREES[name]
    return replace(real, files={path: hashlib.sha256(made[path].encode()).hexdigest() for path in real.files})


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The trees behind HTTP: their base URL."""
    for name, files in TREES.items():
        real = authors.upstream_of(name)
        assert real is not None
        for path, text in files.items():
            file = folder / real.repository / real.commit / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
