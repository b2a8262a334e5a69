/* The sections of the page of `memeval report`, in order. */
"use strict";

// ---- scores ----

/** Agents by tasks; more of each task is in its own table. */
function scoreMatrix() {
  if (tasks.length < 2) return null;
  const cell = (run) =>
    run ? [percent(run.summary.headline.value), el("small", {}, rangeText(run.summary.headline))] : "–";
  const found = (name, task) => runs.find((run) => run.name === name && run.summary.task === task);
  const metric = (task) => el("small", {}, runsOf(task)[0].summary.headline.metric);
  return grid(
    ["agent", ...tasks.map((task) => [task, metric(task)])],
    [...agents, ...controls].map((name) => [named(name), ...tasks.map((task) => cell(found(name, task)))]),
  );
}

function scoreTable(task) {
  const mine = runsOf(task);
  const models = new Set(mine.map((run) => `${run.summary.model} ${run.summary.reader}`)).size > 1;
  const priced = mine.some((run) => run.usd);
  const first = mine[0].summary;
  const header = [
    "agent",
    first.headline.metric,
    "",
    "95% interval",
    "n",
    "failed",
    "memory tokens",
    "recalled tokens",
    priced ? "USD / answer" : "tokens / answer",
    "seconds",
    ...(models ? ["model, reader"] : []),
  ];
  const rows = mine.map(({ name, summary, ...run }) => [
    named(name),
    [
      el(
        "strong",
        {},
        summary.headline.value === null && summary.verdicts["n/a"] ? "n/a" : percent(summary.headline.value),
      ),
      summary.status === "complete" ? null : el("small", { class: "wrong" }, summary.status),
      summary.trained_on ? el("small", {}, summary.trained_on.mark) : null,
    ],
    interval(summary.headline, 0, 1, colour(name)),
    [rangeText(summary.headline), summary.headline.within_stream ? el("small", {}, "within these streams only") : null],
    summary.headline.n === summary.n ? count(summary.n) : `${count(summary.headline.n)} of ${count(summary.n)}`,
    count(summary.failed),
    [
      count(summary.memory_tokens.mean),
      summary.memory_tokens.max ? el("small", {}, `max ${count(summary.memory_tokens.max)}`) : null,
    ],
    count(summary.recall_tokens.mean),
    priced ? usd(run.usd) : count(run.tokens),
    seconds(summary.seconds),
    ...(models ? [[summary.model, summary.reader].filter(Boolean).join(", ")] : []),
  ]);
  const stream = first.stream_tokens;
  const size = stream.mean ? `, streams of ${count(stream.mean)} tokens (${stream.tokenizer})` : "";
  return [el("h3", {}, `${task}${size}`), grid(header, rows)];
}

// ---- kinds ----

function kindTable(task) {
  const mine = runsOf(task);
  const kinds = [...new Set(mine.flatMap((run) => Object.keys(run.summary.kinds)))].sort();
  if (kinds.length < 2) return null;
  const most = (kind) => Math.max(...mine.map((run) => run.summary.kinds[kind]?.n ?? 0));
  const cell = (row) =>
    row === undefined || row.value === null
      ? "–"
      : el("span", { title: `${row.metric}, n ${row.n}` }, percent(row.value), el("small", {}, rangeText(row)));
  const rows = mine.map((run) => [named(run.name), ...kinds.map((kind) => cell(run.summary.kinds[kind]))]);
  const made = grid(["agent", ...kinds.map((kind) => [kind, el("small", {}, `n ${most(kind)}`)])], rows);
  for (const [at, line] of [...made.querySelectorAll("tbody tr")].entries()) {
    kinds.forEach((kind, number) => {
      const value = mine[at].summary.kinds[kind]?.value ?? 0;
      line.cells[number + 1].style.background = `color-mix(in srgb, var(--s0) ${Math.round(30 * value)}%, transparent)`;
    });
  }
  return [el("h3", {}, task), made];
}

// ---- paired differences ----

function pairTable(task) {
  const mine = page.overview.pairs.filter((pair) => runs[pair.a].summary.task === task);
  if (!mine.length) return null;
  const reach = Math.max(...mine.map((pair) => Math.max(Math.abs(pair.low), Math.abs(pair.high)))) || 1;
  const rows = mine.map((pair) => [
    `${runs[pair.a].name} − ${runs[pair.b].name}`,
    el("strong", {}, points(pair.value)),
    interval(pair, -reach, reach, pair.holm < 0.05 ? "var(--s0)" : "var(--control)", 0),
    `${points(pair.low)} to ${points(pair.high)}`,
    pvalue(pair.p),
    pvalue(pair.holm),
    `${pair.won} : ${pair.lost}`,
    [count(pair.n), pair.note ? el("small", {}, pair.note) : null],
  ]);
  return [
    el("h3", {}, task),
    grid(["difference", "points", "", "95% interval", "p", "p (Holm)", "won : lost", "n"], rows),
  ];
}

// ---- notes ----

function noteList() {
  const found = d3.groups(
    runs.flatMap((run) => run.summary.notes.map((note) => ({ ...note, run: `${run.name} on ${run.summary.task}` }))),
    (note) => note.text,
  );
  if (!found.length) return null;
  return el(
    "ul",
    {},
    found.map(([text, notes]) => {
      const of = notes.length === runs.length ? "all runs" : notes.map((note) => note.run).join(", ");
      return el("li", {}, text, " ", el("span", { class: "faint" }, `(${of})`));
    }),
  );
}

// ---- the page ----

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

async function start() {
  theme();
  const lines = [
    `${count(runs.length)} runs of ${count(new Set(runs.map((run) => run.summary.agent)).size)} agents on ${tasks.join(", ")}.`,
    `${count(page.answers)} answers. Made with memeval ${page.version}.`,
  ];
  document.getElementById("lead").textContent = lines.join(" ");
  section(
    "scores",
    "Scores",
    "The score of each agent with its 95% interval, in percent, over questions that have an answer; failed answers count 0. Sizes are in tokens of the task's tokenizer.",
    [scoreMatrix(), tasks.map(scoreTable)],
  );
  const lengths = lengthFigures();
  section(
    "length",
    "Score against length",
    "The same task with longer streams. Bands are 95% intervals; dashed lines are controls.",
    lengths.length ? [legend(), el("div", { class: "grid" }, lengths)] : [],
  );
  const prices = [
    ...tasks.map((task) => priceFigure(task, "memory")),
    ...tasks.map((task) => priceFigure(task, "usd") ?? priceFigure(task, "tokens")),
  ].filter(Boolean);
  section(
    "price",
    "Score against memory and cost",
    "Filled symbols are on the Pareto front: no other agent of the task scores as well with less. Lines at each symbol are 95% intervals; dashed lines are controls, which are on no front.",
    prices.length ? [legend(), el("div", { class: "grid" }, prices)] : [],
  );
  section(
    "kinds",
    "Kinds of questions",
    "The score per kind of question, with its 95% interval. Of unanswerable questions: the share that was declined.",
    tasks.map(kindTable).flat(),
  );
  section(
    "differences",
    "Paired differences",
    "Two agents on the same questions, in points. p is of no difference; p (Holm) is adjusted for all pairs of this page. Won and lost count questions.",
    tasks.map(pairTable).flat(),
  );
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
    }
  }).observe(document.body);
}

start();
