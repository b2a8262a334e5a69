/* The sections of the page of `memeval report`, in order. */
"use strict";

function theme() {
  const button = document.getElementById("theme");
  const dark = () =>
    (document.documentElement.style.colorScheme ||
      (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const name = () => {
    button.textContent = dark() ? "Light" : "Dark";
    button.setAttribute("aria-label", `Switch to the ${dark() ? "light" : "dark"} theme`);
  };
  button.addEventListener("click", () => {
    document.documentElement.style.colorScheme = dark() ? "light" : "dark";
    name();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
  name();
}

function follow() {
  const found = location.hash.match(/^#answer-(\d+)$/);
  if (found && answers[Number(found[1])]) openStory(Number(found[1]));
  else document.getElementById("story").close();
}

/** A grid of figures below the buttons of agents; empty without figures. */
function figureGrid(made, keys = legend) {
  const found = made.flat().filter(Boolean);
  return found.length ? [keys(), el("div", { class: "grid" }, found)] : [];
}

function sections() {
  section(
    "scores",
    "Scores",
    "The score of each agent with its 95% interval, in percent, over questions that have an answer; failed answers count 0. Sizes are in tokens of the task's tokenizer.",
    scoreMatrix(),
    groups.map(scoreTable),
  );
  section(
    "length",
    "Score against length",
    "The same task with longer streams. Bands are 95% intervals; dashed lines are controls.",
    figureGrid(lengthFigures()),
  );
  section(
    "price",
    "Score against memory and cost",
    "Filled symbols are on the Pareto front: no other agent of the task scores as well with less. Lines at each symbol are 95% intervals; dashed lines are controls, which are never on the front.",
    figureGrid([
      groups.map((group) => priceFigure(group, "memory")),
      groups.map((group) => priceFigure(group, "usd") ?? priceFigure(group, "tokens")),
    ]),
  );
  section(
    "lift",
    "Lift",
    "The agent's share of the gain that the gold evidence brings: (agent − none) / (oracle − none) over the same questions with the same reader. 0 is an empty memory, 1 the gold evidence. Not a ranking, and not to be averaged over tasks.",
    groups.map(liftTable),
  );
  section(
    "lost",
    "Where answers are lost",
    "Wrong answers by where the evidence was lost. Never written: the memory did not hold it when the question was asked. Not recalled: the memory held it, but the reader was not shown it. Misread: the reader had it. The rest cannot be followed by text.",
    figureGrid(groups.map(lostFigure), stageKeys),
    lostLines().map((line) => el("p", { class: "caption" }, line)),
  );
  section(
    "kinds",
    "Kinds of questions",
    "The score per kind of question, with its 95% interval. For unanswerable questions, it is the share that was declined.",
    groups.map(kindTable),
  );
  section(
    "retrieval",
    "Retrieval",
    "How much of the gold evidence was retrieved by agents that rank their items, whatever the reader answered, with 95% intervals. Recall: the share of gold units held by all recalled items, by the first item, by the first five. MRR: 1 / rank of the first item that holds gold evidence.",
    groups.map(retrievalTable),
  );
  section(
    "differences",
    "Paired differences",
    "Two agents on the same questions, in points. p tests the hypothesis of no difference; p (Holm) is adjusted for all pairs of this page. Won and lost count questions.",
    groups.map(pairTable),
  );
  section(
    "memory",
    "Memory over the stream",
    "Tokens held while the stream is read, means over streams. Operations: how the agent's writes ended. Read amplification: prompt tokens of all calls per token of the stream.",
    figureGrid([
      groups.map(streamFigure),
      groups.map((group) => runsOf(group).map((run) => typesFigure(group, run))).flat(),
    ]),
    groups.map((group) =>
      factTable(
        group,
        memoryColumns,
        runsOf(group).filter((run) => run.economics.memories),
      ),
    ),
  );
  section(
    "cost",
    "Cost and latency",
    "Cost as if every call had been sent once. At 1, 10, 100: USD (or tokens) per question when this many are asked about a stream and share its reading. Reading / 1k: tokens of calls, and seconds, per 1,000 tokens of stream. p50 / p95: half, and 95 %, of the calls of a method take at most this long, including waits for models.",
    groups.map((group) => [factTable(group, costColumns()), factTable(group, timeColumns)]),
  );
}

/** What the bars do not show: right answers without support, and what `memeval attribute` found. */
function lostLines() {
  const agents = runs.filter((run) => !run.control);
  const unsupported = agents
    .filter((run) => run.unsupported)
    .map((run) => `${run.name} ${run.unsupported} of ${run.summary.verdicts.right ?? 0} (${run.summary.task})`);
  return [
    ...(unsupported.length ? [`Right without evidence in what was recalled: ${unsupported.join(", ")}.`] : []),
    ...agents.filter((run) => run.asked).map((run) => `${run.name} on ${run.summary.task}, ${run.asked}.`),
  ];
}

async function start() {
  theme();
  const notes = new Set(runs.flatMap((run) => run.summary.notes.map((note) => note.text)));
  document
    .getElementById("lead")
    .append(
      `${count(runs.length)} runs of ${count(new Set(runs.map((run) => run.summary.agent)).size)} agents on `,
      `${[...new Set(runs.map((run) => run.summary.task))].join(", ")}; ${count(page.answers)} answers. `,
      ...(notes.size
        ? [
            el("a", { href: "#notes" }, notes.size > 1 ? `${count(notes.size)} notes` : "A note"),
            " to read with the numbers. ",
          ]
        : []),
      `Made with memeval ${page.version}.`,
    );
  sections();
  const state = el("span", { class: "faint", role: "status" });
  const room = el("div", { id: "answers" });
  answers = await answerRows();
  const left = page.answers - page.stories;
  section(
    "questions",
    "Questions",
    "Every answer. A question opens its story: golds, answer, what was recalled, the memory held then, and the calls that wrote it.",
    [
      left
        ? el(
            "p",
            { id: "left" },
            `To keep the page small it has the stories of ${count(page.stories)} answers, wrong ones first; ${count(left)} are left out (memeval report --stories all puts them in).`,
          )
        : null,
      filterBar(state),
      room,
    ],
  );
  section("notes", "Notes", "What a reader of these numbers must know.", noteList());
  redraw();
  answerTable(room, state);
  table.on("tableBuilt", () => {
    document.body.dataset.ready = "yes";
    follow();
  });
  window.addEventListener("hashchange", follow);
  document.getElementById("story").addEventListener("close", () => {
    if (location.hash.startsWith("#answer-")) history.replaceState(null, "", "#questions");
  });
  let width = document.body.clientWidth;
  new ResizeObserver(() => {
    if (document.body.clientWidth !== width) {
      width = document.body.clientWidth;
      redraw();
      table.redraw(true);
    }
  }).observe(document.body);
}

start().catch((error) => {
  document
    .getElementById("main")
    .prepend(
      el("p", { class: "wrong" }, `The page could not be drawn (${error}). It needs a browser of 2024 or later.`),
    );
  throw error;
});
