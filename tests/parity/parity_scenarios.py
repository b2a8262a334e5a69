"""The commands of the parity suite, scenario by scenario; what each did is in NAME.json beside this file."""

from __future__ import annotations

from collections.abc import Callable

from faulty_server import first
from parity_runner import Scenario, Step
from parity_tasks import home

TINY = "--model tiny --base-url {url}"
EVERYBODY = " ".join(
    f"--agent {name}"
    for name in (
        *("memalpha", "bm25", "long-context", "recent", "random-k", "none", "oracle", "closed-book", "constant"),
        *("agents.py:Notes", "agents.py:Plain", "agents.py:Unforkable", "agents.py:Native", "agents.py:Searching"),
    )
)
OUR_OWN = "--agent memalpha --agent bm25 --agent agents.py:Unforkable"


def run(args: str, **more: object) -> Step:
    return Step(f"run {args} {TINY} --quiet", **more)  # type: ignore[arg-type]


def refused(*marks: str, fault: str = "400", times: int = 99) -> Callable[[str, int], str | None]:
    """Requests that hold one of the texts fail, the first few times."""
    return lambda prompt, attempt: fault if attempt < times and any(mark in prompt for mark in marks) else None


SYNTH = "--task synth-10k --limit 3"
FRAGILE = "--agent agents.py:Fragile --task several"
SHARED = "--agent memalpha --task several --no-cache"

PLAIN = [
    Scenario("synth", [run(f"--agent memalpha --agent bm25 --agent oracle {SYNTH}")]),
    Scenario("single", [run(f"{EVERYBODY} --task single")]),
    Scenario("several", [run(f"{EVERYBODY} --task several")]),
    Scenario("positions", [run(f"{EVERYBODY} --task places"), run(f"{EVERYBODY} --task places --limit 3")]),
    Scenario("letters", [run(f"{EVERYBODY} --task letters")]),
    Scenario("visible", [run("--agent agents.py:Curious --agent agents.py:Native --agent memalpha --task visible")]),
    Scenario(
        "unusable",
        [run("--agent bm25 --agent none --agent agents.py:Native --task odd", faults=refused("overlong", fault="overflow"))],
    ),
    Scenario("suite", [run("--agent bm25 --task both"), run("--agent bm25 --agent recent --task both")]),
    Scenario(
        "qwen-wire",
        [run("--agent memalpha --set wire=qwen --task several"), run("--agent memalpha --set wire=native --task several")],
    ),
    Scenario("seeds", [run(f"--agent random-k --set k=1 --task several --seed {seed} --limit 6") for seed in (1, 2)]),
    Scenario(
        "variants",
        [
            run(f"--agent bm25 --task {task} --limit 2")
            for task in ("synth-10k@tokens-3000", "synth-10k@shared-2", "judged@brief")
        ],
    ),
    Scenario("exact-tokens", [run("--agent recent --task synth-10k --limit 2 --exact-tokens 3000")]),
    Scenario("default-questions", [run("--agent bm25 --task fives"), run("--agent bm25 --task fives --limit 0")]),
]

RESUMED = [
    Scenario("limits", [run(f"{OUR_OWN} --task several --limit {limit}") for limit in (4, 9, 2, 9, 0)]),
    Scenario("limits-positions", [run(f"{OUR_OWN} --task places --limit {limit}") for limit in (8, 3, 8, 0)]),
    Scenario(
        "repeats",
        [
            run(f"{OUR_OWN} --task several --limit 5 {more}")
            for more in ("--repeats 2", "--answer-repeats 2", "--repeats 2 --answer-repeats 3")
        ],
    ),
    Scenario(
        "repeats-again",
        [
            run(f"--agent agents.py:Notes --task places {more}")
            for more in ("--answer-repeats 1", "--answer-repeats 3", "--answer-repeats 1")
        ],
    ),
    Scenario(
        "grid",
        [
            run("--agent agents.py:Notes --agent bm25 --set bm25.k=1 --task single"),
            run("--agent agents.py:Notes --set top=1,2 --task several"),
            run("--agent bm25 --set k=1,3 --task several"),
        ],
    ),
    Scenario(
        "budgets",
        [
            run(f"{SHARED} {more}")
            for more in (
                "",
                "--answer-budget 40",
                "--answer-budget 15",
                "--reader other@{url}",
                "--prompt reader=terse.txt",
                "--answer-repeats 2",
                "",
            )
        ],
        files={"terse.txt": "Be terse.\n"},
    ),
    Scenario(
        "budgets-positions",
        [
            run(f"--agent agents.py:Notes --task places --no-cache {more}")
            for more in ("", "--answer-budget 30", "--reader other@{url} --answer-budget 30")
        ],
    ),
    Scenario(
        "budget-first", [run(f"{SHARED} --answer-budget 40 --limit 5"), run(SHARED), run(f"{SHARED} --answer-budget 40")]
    ),
    Scenario(
        "another-memory",
        [run(f"{SHARED} {more}") for more in ("", "--memory other@{url}", "--set top_k=3", "--prompt memory=own.txt")],
        files={"own.txt": "Write down what is new.\n"},
    ),
    Scenario(
        "budget-of-variant", [run(f"--agent memalpha --task {task} --no-cache") for task in ("judged", "judged@brief")]
    ),
    Scenario(
        "cache",
        [run(f"{OUR_OWN} --task several --runs-dir {runs}") for runs in ("a", "b", "c --no-cache", "b --no-cache", "d")],
    ),
    Scenario(
        "width",
        [run(f"{OUR_OWN} --task places --no-cache --runs-dir w{width} --concurrency {width}") for width in (1, 3, 64)],
    ),
]

STOPPED = [
    Scenario("max-calls", [
        *(run(f"{SHARED} --max-calls {most}", halts="exact") for most in (7, 11, 0)),
        *(run(f"{SHARED} --max-calls {most}") for most in (100, 0)),
    ]),
    Scenario("max-cost", [
        run("--agent bm25 --task several --max-cost 0.003", halts="somewhere"),
        *(run(f"--agent bm25 --task several --max-cost {most}") for most in (1, 0)),
    ]),
    Scenario("key", [
        run("--agent bm25 --task several", key="wrong-key-0123456789", halts="somewhere"),
        run("--agent bm25 --task several", key="right-key-0123456789"),
    ], key="right-key-0123456789"),
]  # fmt: skip

FAILING = [
    Scenario("recovers-500", [run("--agent bm25 --task single --limit 3", faults=first(1, "500"))]),
    Scenario("recovers-429", [run("--agent agents.py:Notes --task single", faults=first(2, "429-seconds"))]),
    Scenario("one-context-refused", [
        run("--agent agents.py:Notes --task single", faults=refused(home(3))),
        run("--agent agents.py:Notes --task single"),
        run("--agent agents.py:Notes --task single"),
    ]),
    Scenario("several-refused", [
        run("--agent agents.py:Notes --agent memalpha --task several", faults=refused("Celia", "Hesper")),
        run("--agent agents.py:Notes --agent memalpha --task several"),
    ]),
    Scenario("agent-raises", [run(FRAGILE), run(f"{FRAGILE} --repeats 2"), run("--agent agents.py:Fragile --task places")]),
]  # fmt: skip

JUDGED = [
    Scenario("judge-later", [
        run("--agent bm25 --agent constant --task several"),
        Step("score {path} --judge j@{url} --quiet --format json"),
        Step("score {path} --judge j@{url} --quiet --format json"),
        run("--agent bm25 --task several --judge j@{url}"),
        run("--agent bm25 --agent constant --task several --judge j@{url}"),
        run("--agent bm25 --task several"),
    ]),
    Scenario("judge-refused", [
        run("--agent recent --task judged"),
        Step("score {path} --judge j@{url} --quiet", faults=refused("<answer>")),
        Step("score {path} --judge j@{url} --quiet"),
        run("--agent recent --task judged --judge j@{url}"),
        run("--agent recent --task judged --judge j@{url} --answer-repeats 2 --limit 3"),
    ]),
    Scenario("judge-another", [
        run("--agent agents.py:Native --task judged --judge j@{url}"),
        run("--agent agents.py:Native --task judged --judge k@{url}"),
        Step("score {path} --judge j@{url} --family longmemeval --quiet"),
        Step("score {path} --judge j@{url} --prompt own.txt --quiet"),
    ], files={"own.txt": "Be kind.\n"}),
]  # fmt: skip

MARKED = [
    Scenario("contamination", [
        run("--agent bm25 --agent none --agent constant --task leaked --format table"),
        run("--agent bm25 --agent constant --task indomain --format table"),
        run("--agent bm25 --task indomain --reader other@{url} --format table"),
        run("--agent trained.yaml --task single --format table"),
        run("--agent trained.yaml --task indomain --format table"),
        run("--agent family.yaml --task leaked --reader other@{url} --format table"),
    ], files={
        "trained.yaml": '{"agent": "bm25", "trained_on": [{"family": "single", "splits": ["all"]}]}',
        "family.yaml": '{"agent": "bm25", "trained_on": ["houses"]}',
    }),
    Scenario("table", [run("--agent bm25 --agent none --agent agents.py:Notes --task several --format table")]),
]  # fmt: skip

WRONG_FILES = {
    "half.py": "class Half:\n    def begin(self, session): pass\n",
    "broken.py": "class Notes(:\n",
    "badcard.yaml": "source: jsonl\nchunk_token: 5\nparams: {file: tasks/single.jsonl}\n",
    "badmetric.yaml": "source: jsonl\nmetrics: [f7]\nheadline: f7\nparams: {file: tasks/single.jsonl}\n",
    "badline.yaml": "source: jsonl\nparams: {file: badline.jsonl}\n",
    "badline.jsonl": '{"units": ["Ann is here."], "questions": [{"text": "Who?"}]}\n',
    "nofile.yaml": "source: jsonl\nparams: {file: nosuch.jsonl}\n",
}

WRONG = [
    Scenario("bad-task", [
        run("--agent bm25 --task nosuch"),
        run("--agent bm25 --task single@nosuch"),
        run("--agent bm25 --task badcard.yaml"),
        run("--agent bm25 --task badmetric.yaml"),
        run("--agent bm25 --task badline.yaml"),
        run("--agent bm25 --task nofile.yaml"),
    ], files=WRONG_FILES),
    Scenario("bad-agent", [
        run("--agent nosuch --task single"),
        run("--agent agents.py:Nosuch --task single"),
        run("--agent nosuch.py:Notes --task single"),
        run("--agent half.py:Half --task single"),
        run("--agent broken.py:Notes --task single"),
        run("--agent bm25 --set nosuch=1 --task single"),
        run("--agent bm25 --set k --task single"),
        run("--agent memalpha --set top_k=many --task single"),
    ], files=WRONG_FILES),
    Scenario("bad-flags", [
        run("--agent bm25 --task single --prompt reader=nosuch.txt"),
        Step("run --agent bm25 --task single --base-url {url} --quiet"),
        Step("run --agent bm25 --task single --model nosuchmodel --quiet"),
        Step("run --agent bm25 --task single --model other@{url} --max-cost 1 --quiet"),
        run("--agent bm25 --task single --data-dir nosuch"),
        Step("score tasks --judge j@{url}"),
        Step("score nosuch --judge j@{url}"),
        Step("show nosuch"),
        Step("rnu --agent bm25"),
        Step("list nosuch"),
    ], files=WRONG_FILES),
    Scenario("bad-config", [run("--agent bm25 --task single")], files={"memeval.yaml": "modle: tiny\n"}),
]  # fmt: skip

LOOKED_AT = [
    Scenario("verbs", [
        run("--agent agents.py:Notes --task places"),
        Step("show {path}"),
        Step("show {path} --question p0-2"),
        Step("show {path} --question nosuch"),
        Step("check --agent agents.py:Notes"),
        Step("check --agent agents.py:Unforkable"),
        Step("list tasks"),
        Step("list agents"),
        Step("data verify single"),
        Step("estimate --agent memalpha --task several --model tiny --base-url {url} --format json"),
        Step("cache stats --format json"),
    ]),
]  # fmt: skip

SCENARIOS = [*PLAIN, *RESUMED, *STOPPED, *FAILING, *JUDGED, *MARKED, *WRONG, *LOOKED_AT]

SLOW = {
    *("several", "variants", "exact-tokens", "width", "limits-positions", "repeats", "repeats-again", "seeds", "grid"),
    *("another-memory", "budget-first", "budgets-positions", "recovers-429", "suite", "qwen-wire", "default-questions"),
    *("cache", "max-cost", "one-context-refused", "judge-refused", "judge-another", "contamination", "verbs"),
    *("bad-agent", "bad-flags", "budget-of-variant", "budgets", "limits", "max-calls", "several-refused", "judge-later"),
    *("agent-raises", "bad-task", "positions", "single", "key"),
}
"""Left out of the default run of the tests: each has a faster neighbour."""
