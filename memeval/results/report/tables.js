/* The tables of the page. */
"use strict";

// ---- scores ----

/** Agents by tasks; each task has a table of its own with more columns. */
function scoreMatrix() {
  if (groups.length < 2) return null;
  const cell = (run) =>
    run ? [percent(run.summary.headline.value), el("small", {}, rangeText(run.summary.headline))] : "–";
  const found = (name, group) => runsOf(group).find((run) => run.name === name);
  const metric = (group) => el("small", {}, runsOf(group)[0].summary.headline.metric);
  return grid(
    ["agent", ...groups.map((group) => [group.title, metric(group)])],
    [...agents, ...controls].map((name) => [named(name), ...groups.map((group) => cell(found(name, group)))]),
  );
}

function scoreTable(group) {
  const mine = runsOf(group);
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
  return [el("h3", {}, `${group.title}${size}`), grid(header, rows)];
}

// ---- kinds ----

function kindTable(group) {
  const mine = runsOf(group);
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
  return [el("h3", {}, group.title), made];
}

// ---- paired differences ----

function pairTable(group) {
  const mine = page.overview.pairs.filter((pair) => group.runs.includes(pair.a));
  if (!mine.length) return null;
  const reach = Math.max(...mine.flatMap(({ difference }) => [difference.low, difference.high].map(Math.abs))) || 1;
  const rows = mine.map(({ a, b, difference, holm, won, lost, note }) => [
    `${runs[a].name} − ${runs[b].name}`,
    el("strong", {}, points(difference.value)),
    interval(difference, -reach, reach, holm < 0.05 ? "var(--s0)" : "var(--control)", [0]),
    `${points(difference.low)} to ${points(difference.high)}`,
    pvalue(difference.p),
    pvalue(holm),
    `${won} : ${lost}`,
    [count(difference.n), note ? el("small", {}, note) : null],
  ]);
  return [
    el("h3", {}, group.title),
    grid(["difference", "points", "", "95% interval", "p", "p (Holm)", "won : lost", "n"], rows),
  ];
}

// ---- retrieval ----

const retrievalColumns = Object.entries(page.retrieval);

function retrievalTable(group) {
  const mine = runsOf(group).filter((run) => run.summary.metrics.evidence_mrr);
  if (!mine.length) return null;
  const cell = (row) => (row ? [percent(row.value), el("small", {}, rangeText(row))] : "–");
  const rows = mine.map(({ name, summary }) => [
    named(name),
    ...retrievalColumns.map(([metric]) => cell(summary.metrics[metric])),
    count(summary.metrics.evidence_mrr.n),
  ]);
  return [el("h3", {}, group.title), grid(["agent", ...retrievalColumns.map(([, head]) => head), "n"], rows)];
}

// ---- lift ----

function liftTable(group) {
  const mine = runsOf(group).filter((run) => run.lift);
  if (!mine.length) return null;
  const known = mine.map((run) => run.lift).filter((row) => row.value !== null);
  const from = Math.min(0, ...known.map((row) => row.low));
  const to = Math.max(1, ...known.map((row) => row.high));
  const rows = mine.map(({ name, lift }) => [
    named(name),
    el("strong", {}, lift.value === null ? "too little room" : lift.value.toFixed(2)),
    interval(lift, from, to, colour(name), [0, 1]),
    lift.value === null ? "–" : `${lift.low.toFixed(2)} to ${lift.high.toFixed(2)}`,
    [count(lift.room.n), lift.room.within_stream ? el("small", {}, "within these streams only") : null],
  ]);
  return [el("h3", {}, group.title), grid(["agent", "lift", "", "95% interval", "n"], rows)];
}

// ---- memory, cost and latency ----

/** A table of a group's runs. columns: [title, run -> cell]; a column without any value is left out. Null without columns. */
function factTable(group, columns, mine = runsOf(group)) {
  const known = columns.filter(([, of]) => mine.some((run) => of(run) !== null && of(run) !== undefined));
  if (!known.length) return null;
  const rows = mine.map((run) => [named(run.name), ...known.map(([, of]) => of(run))]);
  return [el("h3", {}, group.title), grid(["agent", ...known.map(([title]) => title)], rows)];
}

const known = (value, format) => (value === null || value === undefined ? null : format(value));
const sharesOf = (each, format) =>
  [1, 10, 100].map((share) => [`at ${share}`, (run) => known(each(run.summary.cost)[share], format)]);

const memoryColumns = [
  ["at the peak", (run) => known(run.economics.peak.mean, count)],
  ["at the end", (run) => known(run.economics.end.mean, count)],
  ["written", (run) => known(run.economics.changes?.writes, count)],
  ["replaced", (run) => known(run.economics.changes?.updates, count)],
  ["deleted", (run) => known(run.economics.changes?.deletes, count)],
  [
    "operations",
    (run) =>
      Object.entries(run.economics.operations.counts)
        .map(([status, number]) => `${count(number)} ${status}`)
        .join(", ") || null,
  ],
  ["read amplification", (run) => known(run.economics.read_amplification, (times) => `${times.toFixed(2)}x`)],
];

const latency = (method) => [
  `${method}, p50 / p95`,
  (run) => known(run.economics.latency[method], (row) => `${seconds(row.p50)} / ${seconds(row.p95)} s`),
];

function costColumns() {
  const priced = runs.some((run) => run.usd);
  return [
    ["USD", (run) => known(run.summary.cost.usd, usd)],
    ["a right answer", (run) => known(run.summary.cost.usd_per_right, usd)],
    ...(priced ? sharesOf((cost) => cost.usd_per_question, usd) : sharesOf((cost) => cost.tokens_per_question, count)),
    ["prompt tokens", (run) => count(run.summary.tokens.prompt)],
    ["completion tokens", (run) => count(run.summary.tokens.completion)],
    ["cached", (run) => known(run.summary.cost.cached_share, (share) => `${percent(share)} %`)],
    ["reading / 1k", (run) => known(run.economics.ingest_tokens_per_1k, count)],
  ];
}

const timeColumns = [
  ["whole run", (run) => `${seconds(run.summary.seconds)} s`],
  ["reading / 1k", (run) => known(run.economics.ingest_seconds_per_1k, (value) => `${seconds(value)} s`)],
  latency("observe"),
  latency("recall"),
  latency("answer"),
];

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
